"""Tables of small printed numbers, columns A to C, rows from 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.data.canvas import PAPERS, RASTER, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb
from demo.data.charts import COLOURS, NAMES, asked, colour_pairs
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.split import Split, drawn
from demo.data.strings import NUMBER

LETTERS = "ABC"
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
WIDTHS, TALL, INDEX = (48, 72), 24, 24  # pixels: of a cell, and the column of row numbers
AIR = 6  # pixels from a line to the nearest cell of print
LONGEST = 3  # digits
CELL_QUESTIONS = 5


@dataclass(frozen=True)
class Grid:
    """Where the cells are: a column of row numbers and a row of letters come before the cells.

    All print lies on the raster of small print, so that none of it is moved on to a line.
    """

    left: int
    top: int
    columns: int
    rows: int
    wide: int  # pixels, of a cell
    size: int  # of the font

    @property
    def box(self) -> Box:
        wide, tall = INDEX + self.columns * self.wide, (self.rows + 1) * TALL
        return (self.left, self.top, self.left + wide, self.top + tall)

    @property
    def layout(self) -> str:
        """As fine as the raster, and with the size of the print: there are few places for a large table."""
        return "-".join(map(str, (*self.box, self.size)))

    def text_left(self, column: int, symbols: int) -> int:
        """The longest number is in the middle of its cell, others end where it would, a letter stands above it."""
        spare = (self.wide - 2 * AIR) // SMALL_PITCH - LONGEST
        before = spare // 2 + (1 if symbols == 1 else LONGEST - symbols)
        return self.left + INDEX + column * self.wide + AIR + before * SMALL_PITCH


@dataclass(frozen=True)
class Table:
    """`columns` holds the numbers from top to bottom."""

    grid: Grid
    columns: tuple[tuple[int, ...], ...]
    header: str
    ink: str


def _grid(rng: np.random.Generator, columns: int, rows: int) -> Grid:
    size = int(rng.integers(SMALL_SIZE - 1, SMALL_SIZE + 2))
    widest = (CANVAS - 2 * EDGE - INDEX) // columns
    widths = [width for width in WIDTHS if width <= widest]
    cell = widths[int(rng.integers(len(widths)))]
    _, _, wide, tall = Grid(0, 0, columns, rows, cell, size).box
    return Grid(_stepped(rng, int(wide)), _stepped(rng, int(tall)), columns, rows, cell, size)


def _stepped(rng: np.random.Generator, extent: int) -> int:
    """Where something of this extent begins, on the middle of a cell of the raster."""
    starts = range(RASTER // 2, CANVAS - EDGE - extent + 1, RASTER)
    return starts[int(rng.integers(len(starts)))]


def _column(rng: np.random.Generator, split: Split, rows: int) -> tuple[int, ...]:
    """Different numbers of two or of three digits."""
    low, high = (10, 100) if rng.integers(2) else (100, 1000)
    numbers: list[int] = []
    while len(numbers) < rows:
        number = drawn(split, NUMBER, lambda: int(rng.integers(low, high)))
        if number not in numbers:
            numbers.append(number)
    return tuple(numbers)


def _table(rng: np.random.Generator, split: Split) -> Table:
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(2, 5))
    grid = drawn(split, "layout/tables", lambda: _grid(rng, columns, rows), lambda plan: plan.layout)
    pairs = colour_pairs(split, "table looks", NAMES, tuple(INKS))
    header, ink = pairs[rng.integers(len(pairs))]
    return Table(grid, tuple(_column(rng, split, grid.rows) for _ in range(grid.columns)), header, ink)


def _draw_lines(canvas: Canvas, table: Table) -> None:
    grid = table.grid
    left, top, right, bottom = grid.box
    canvas.draw.rectangle((left, top, right, bottom), fill=(255, 255, 255))
    canvas.draw.rectangle((left, top, right, top + TALL), fill=COLOURS[table.header])
    for row in range(grid.rows + 2):
        y = top + row * TALL
        canvas.draw.line((left, y, right, y), fill=LINE)
    for x in (left, *(left + INDEX + column * grid.wide for column in range(grid.columns + 1))):
        canvas.draw.line((x, top, x, bottom), fill=LINE)


def _draw_text(canvas: Canvas, table: Table) -> None:
    grid, ink = table.grid, INKS[table.ink]
    light = COLOURS["black"] if table.header in PALE else (255, 255, 255)

    def write(left: int, row: int, text: str, colour: Rgb) -> None:
        middle = grid.top + (row + 0.5) * TALL
        canvas.text(left, middle, text, grid.size, SMALL_PITCH, colour)

    for row in range(grid.rows):
        write(grid.left + AIR, row + 1, str(row + 1), ink)
    for index, numbers in enumerate(table.columns):
        write(grid.text_left(index, 1), 0, LETTERS[index], light)
        for row, number in enumerate(numbers):
            write(grid.text_left(index, len(str(number))), row + 1, str(number), ink)


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
    return [
        *_cell_questions(rng, table),
        asked(rng, "table", large, f"what is the largest number in column {letter}?"),
        asked(rng, "table", small, f"what is the smallest number in column {letter}?"),
        *_size_questions(rng, table.grid),
        asked(rng, "table", table.header, "what colour is the top row?"),
        asked(rng, "table", table.ink, "what colour are the numbers?"),
    ]


def tables_scene(rng: np.random.Generator, split: Split) -> Scene:
    """2 or 3 columns by 2 to 4 rows of two- or three-digit numbers of the split."""
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
