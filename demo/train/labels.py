"""What the dense task can find in a cell: every label that scenes leave, numbered from 1."""

from __future__ import annotations

GLYPHS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.:$/-%"
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "black", "white", "pink")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURED = ("sign", "tag", "bar top")
POINTS = ("receipt", "dial centre", "needle tip", "hour tip", "minute tip")
LABELS = (
    *GLYPHS,
    *(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS),
    *(f"{colour} {thing}" for thing in COLOURED for colour in COLOURS),
    *POINTS,
)
CLASSES = {label: number for number, label in enumerate(LABELS, start=1)}
