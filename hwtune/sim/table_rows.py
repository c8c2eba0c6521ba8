"""The CSV of a measured table: lines of text, and the numbers in them, each refused with its line.

    workload,cpu_freq_mhz,threads,time_s,energy_j
    genome,3900,4,5.71127,98.0666

UTF-8, one header line, as many cells in every line as in the header; empty lines are passed over.
"""

from __future__ import annotations

import csv
import io
import math
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hwtune.domain.errors import UsageError
from hwtune.sim.table_filter import Cell

_DECIMAL: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)
_HINT: Final = "docs/replay.md describes the form of a table"


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it is written.

    Args:
        number: of the line it begins at, the first of the file being 1.
        cells: column → text.
    """

    number: int
    cells: Mapping[str, str]


def refusal(number: int, reason: str) -> UsageError:
    """The error for something wrong in a line."""
    return UsageError(f"line {number}: {reason}", hint=_HINT)


def read_table_text(path: Path) -> str:
    """The text of a table.

    Raises:
        UsageError: it cannot be read, or is not text.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device or a pipe has no end
            raise UsageError(f"{path} is not a file", hint=_HINT)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read {path}: {reason}", hint="give the CSV file of a measured table") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}: line {number}: not UTF-8 text", hint=_HINT) from error


def parse_lines(text: str) -> tuple[tuple[str, ...], list[Line]]:
    """Header and rows of a table.

    Raises:
        UsageError: not CSV, a column named twice, a row that is longer or shorter than the header, no row.
    """
    records = _records(text)
    at, header = next(records, (1, []))
    if not header:
        raise UsageError("the table is empty", hint=_HINT)
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise refusal(at, f"two columns are named {twice[0]!r:.60}")
    lines = []
    for number, cells in records:
        if len(cells) != len(header):
            raise refusal(number, f"{len(cells)} cells, and the header has {len(header)}")
        lines.append(Line(number, dict(zip(header, cells, strict=True))))
    if not lines:
        raise UsageError("the table has no rows", hint=_HINT)
    return tuple(header), lines


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every record that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise refusal(number, f"not CSV: {error}") from error
        if cells:
            yield number, cells


def parse_number(text: str) -> float | None:
    """A decimal number; None for every other text, `nan`, `inf` and what is too large for a float among them.

    >>> parse_number("2.4"), parse_number("1e3"), parse_number("nan"), parse_number("1e999")
    (2.4, 1000.0, None, None)
    """
    if _DECIMAL.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def number_in(line: Line, column: str) -> float:
    """The number in a cell.

    Raises:
        UsageError: there is none.
    """
    text = line.cells[column]
    number = parse_number(text)
    if number is None:
        raise refusal(line.number, f"{column} is {'empty' if not text.strip() else f'{text!r:.60}, not a number'}")
    return number


def positive_in(line: Line, column: str) -> float:
    """The number in a cell, more than zero.

    Raises:
        UsageError: there is none, or it is not.
    """
    number = number_in(line, column)
    if number <= 0.0:
        raise refusal(line.number, f"{column} is {line.cells[column].strip()}, and must be more than zero")
    return number


def typed_columns(lines: Sequence[Line], columns: Iterable[str]) -> list[dict[str, Cell]]:
    """The cells of these columns as a filter compares them, row by row.

    A column whose cells are all numbers (or true and false, which count as 1 and 0) is one of numbers, any other one of
    words.
    """
    typed: list[dict[str, Cell]] = [{} for _ in lines]
    for column in columns:
        texts = [line.cells[column] for line in lines]
        for cells, value in zip(typed, _typed(texts), strict=True):
            cells[column] = value
    return typed


def _typed(texts: Sequence[str]) -> list[Cell]:
    filled = [text for text in texts if text.strip()]
    truths = {"true": 1.0, "false": 0.0}
    if filled and all(text.strip().lower() in truths for text in filled):
        return [truths.get(text.strip().lower()) for text in texts]
    numbers = [parse_number(text) for text in texts]
    if all(number is not None or not text.strip() for number, text in zip(numbers, texts, strict=True)):
        return list(numbers)
    return [text or None for text in texts]
