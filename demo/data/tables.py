"""Tables of small printed numbers, columns A to D, rows from 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.data.canvas import PAPERS, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb
from demo.data.charts import COLOURS, NAMES, asked, colour_pairs, layout_key
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.split import Split, drawn

LETTERS = "ABCD"
INKS: dict[str, Rgb] = {
    "red": (190, 24, 24),
    "green": (16, 110, 40),
    "blue": (28, 60, 180),
    "purple": (120, 36, 150),
    "black": (20, 20, 20),
}
PALE = ("yellow", "orange")  # headers that carry black letters
LINE: Rgb = (130, 130, 130)
EDGE = 3
CELL_QUESTIONS = 5


@dataclass(frozen=True)
class Grid:
    """Where the cells are: a column of row numbers and a row of letters come before the cells."""

    left: int
    top: int
    columns: int
    rows: int
    cell: tuple[int, int]  # width and height
    index: int  # width of the column of row numbers
    size: int  # of the font

    @property
    def box(self) -> Box:
        wide, tall = self.index + self.columns * self.cell[0], (self.rows + 1) * self.cell[1]
        return (self.left, self.top, self.left + wide, self.top + tall)


@dataclass(frozen=True)
class Table:
    """`columns` holds the numbers from top to bottom."""

    grid: Grid
    columns: tuple[tuple[int, ...], ...]
    header: str
    ink: str


def _grid(rng: np.random.Generator, columns: int, rows: int) -> Grid:
    size = int(rng.integers(SMALL_SIZE, SMALL_SIZE + 2))
    index, widest = size + 10, (CANVAS - 2 * EDGE - size - 10) // columns
    narrowest = 4 * _pitch(size) + 1  # set on the raster, neighbours stay a symbol apart
    cell = (int(rng.integers(narrowest, min(widest, 56) + 1)), int(rng.integers(size + 6, 37)))
    plain = Grid(0, 0, columns, rows, cell, index, size)
    _, _, wide, tall = plain.box
    left, top = (
        EDGE + int(rng.uniform(0, CANVAS - 2 * EDGE - wide)),
        EDGE + int(rng.uniform(0, CANVAS - 2 * EDGE - tall)),
    )
    return Grid(left, top, columns, rows, cell, index, size)


def _pitch(size: int) -> int:
    """Both sizes stand as small print does."""
    assert size in (SMALL_SIZE, SMALL_SIZE + 1)
    return SMALL_PITCH


def _column(rng: np.random.Generator, split: Split, rows: int) -> tuple[int, ...]:
    """Different numbers of two or of three digits."""
    low, high = (10, 100) if rng.integers(2) else (100, 1000)
    numbers: list[int] = []
    while len(numbers) < rows:
        number = drawn(split, "number", lambda: int(rng.integers(low, high)))
        if number not in numbers:
            numbers.append(number)
    return tuple(numbers)


def _table(rng: np.random.Generator, split: Split) -> Table:
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    # A large table has few places, so their cells are finer here.
    grid = drawn(
        split, "layout/tables", lambda: _grid(rng, columns, rows), lambda plan: layout_key(plan.box, cell=16)
    )
    pairs = colour_pairs(split, "table looks", NAMES, tuple(INKS))
    header, ink = pairs[rng.integers(len(pairs))]
    return Table(grid, tuple(_column(rng, split, grid.rows) for _ in range(grid.columns)), header, ink)


def _draw_lines(canvas: Canvas, table: Table) -> None:
    grid = table.grid
    left, top, right, bottom = grid.box
    canvas.draw.rectangle((left, top, right, bottom), fill=(255, 255, 255))
    canvas.draw.rectangle((left, top, right, top + grid.cell[1]), fill=COLOURS[table.header])
    for row in range(grid.rows + 2):
        y = top + row * grid.cell[1]
        canvas.draw.line((left, y, right, y), fill=LINE)
    for x in (left, *(left + grid.index + column * grid.cell[0] for column in range(grid.columns + 1))):
        canvas.draw.line((x, top, x, bottom), fill=LINE)


def _draw_text(canvas: Canvas, table: Table) -> None:
    grid, pitch = table.grid, _pitch(table.grid.size)
    light = COLOURS["black"] if table.header in PALE else (255, 255, 255)

    def centred(x: float, row: int, text: str, ink: Rgb) -> None:
        y = grid.top + (row + 0.5) * grid.cell[1]
        canvas.text(x - len(text) * pitch / 2, y, text, grid.size, pitch, ink)

    for row in range(grid.rows):
        centred(grid.left + grid.index / 2, row + 1, str(row + 1), COLOURS["black"])
    for index, numbers in enumerate(table.columns):
        x = grid.left + grid.index + (index + 0.5) * grid.cell[0]
        centred(x, 0, LETTERS[index], light)
        for row, number in enumerate(numbers):
            centred(x, row + 1, str(number), INKS[table.ink])


def _cell_questions(rng: np.random.Generator, table: Table) -> list[Question]:
    """About some cells, and in which row or column a number stands that the table has only once."""
    everything = [number for numbers in table.columns for number in numbers]
    questions = []
    for place in rng.permutation(len(everything))[:CELL_QUESTIONS]:
        column, row = divmod(int(place), table.grid.rows)
        letter, number = LETTERS[column], everything[place]
        texts = (
            f"what is in row {row + 1} column {letter}?",
            f"what number is in column {letter} row {row + 1}?",
        )
        questions.append(asked(rng, "table", str(number), *texts))
    for place in rng.permutation(len(everything))[:2]:
        column, row = divmod(int(place), table.grid.rows)
        number = everything[place]
        if everything.count(number) == 1:
            questions.append(asked(rng, "table", LETTERS[column], f"which column has {number}?"))
            questions.append(asked(rng, "table", str(row + 1), f"which row has {number}?"))
    return questions


def _size_questions(rng: np.random.Generator, grid: Grid) -> list[Question]:
    questions = []
    for things, count, chinese in (("rows", grid.rows, "有几行？"), ("columns", grid.columns, "有几列？")):
        texts = (f"how many {things} are there?", f"how many {things} does the table have?")
        questions.append(asked(rng, "table", str(count), *texts, chinese=(chinese, str(count))))
    return questions


def _questions(rng: np.random.Generator, table: Table) -> list[Question]:
    column = int(rng.integers(table.grid.columns))
    large, small = str(max(table.columns[column])), str(min(table.columns[column]))
    letter = LETTERS[column]
    top_texts = ("what colour is the first row of the table?", "what colour is the top row?")
    return [
        *_cell_questions(rng, table),
        asked(rng, "table", large, f"what is the largest number in column {letter}?"),
        asked(rng, "table", small, f"what is the smallest number in column {letter}?"),
        *_size_questions(rng, table.grid),
        asked(rng, "table", table.header, *top_texts),
        asked(rng, "table", table.ink, "what colour are the numbers?"),
    ]


def tables_scene(rng: np.random.Generator, split: Split) -> Scene:
    """2 to 4 columns by 2 to 4 rows of two- or three-digit numbers of the split."""
    table = _table(rng, split)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    _draw_lines(canvas, table)
    _draw_text(canvas, table)
    size = f"{table.grid.rows} rows and {table.grid.columns} columns"
    cells = " ".join(
        f"{letter} " + " ".join(map(str, numbers))
        for letter, numbers in zip(LETTERS, table.columns, strict=False)
    )
    return Scene(
        picture=canvas.finished(),
        caption=f"a table with {size} a {table.header} top row and {table.ink} numbers",
        words=f"a table with {size} {table.header} top row {table.ink} numbers {cells}",
        marks=tuple(canvas.marks),
        questions=tuple(_questions(rng, table)),
    )
