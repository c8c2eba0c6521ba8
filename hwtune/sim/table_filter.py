"""`where` of a sidecar: which rows of a measured table count.

    outlier == 0 and (threads >= 2 or campaign != 'warm up')

Comparisons between columns, numbers and quoted words, joined by and, or, not and parentheses; `&` and `|` mean and and
or. A column that is no identifier stands in backticks. Nothing is ever evaluated as Python: the expression is parsed,
and every part that is not in this list is refused.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hwtune.domain.errors import UsageError

Cell = float | str | None
"""A number, a word, or None where the cell is empty."""

Cells = Mapping[str, Cell]

_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_HINT: Final = 'write a comparison on columns, such as where = "outlier == 0 and threads > 1"'
_LONGEST: Final = 1000  # characters; what is longer nests deeper than Python recurses
_PIECES: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|&+|\|+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A condition on rows.

    Args:
        columns: the columns it looks at.
        holds: whether it holds for the cells of a row; raises UsageError where a number is compared with a word.
    """

    columns: frozenset[str]
    holds: Callable[[Cells], bool]


def parse_where(text: str) -> Where:
    """A condition from its text.

    Raises:
        UsageError: it is no such condition.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"where is longer than {_LONGEST} characters", hint=_HINT)
    names: dict[str, str] = {}

    def plain(piece: re.Match[str]) -> str:
        word = piece[0]
        if word[0] == "`":
            return names.setdefault(word[1:-1], f"_column_{len(names)}_")
        return {"&": " and ", "|": " or "}.get(word[0], word)

    source = _PIECES.sub(plain, text)
    parser = _Parser({alias: name for name, alias in names.items()})
    try:
        holds = parser.condition(ast.parse(source.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"where {text[:80]!r} is no comparison on columns", hint=_HINT) from error
    return Where(columns=frozenset(parser.columns), holds=holds)


class _Parser:
    def __init__(self, names: Mapping[str, str]) -> None:
        self.columns: set[str] = set()
        self._names = names

    def condition(self, node: ast.expr) -> Callable[[Cells], bool]:
        match node:
            case ast.BoolOp(op=join, values=values):
                parts = [self.condition(value) for value in values]
                every = all if isinstance(join, ast.And) else any
                return lambda cells: every(part(cells) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                part = self.condition(operand)
                return lambda cells: not part(cells)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._comparison([left, *rest], ops)
        raise _refused(node)

    def _comparison(self, sides: list[ast.expr], ops: list[ast.cmpop]) -> Callable[[Cells], bool]:
        operands = [self._operand(side) for side in sides]
        if any(type(op) not in _COMPARISONS for op in ops):
            raise UsageError("where knows the comparisons == != < <= > >=", hint=_HINT)
        links = list(zip(operands, ops, operands[1:], strict=False))
        return lambda cells: all(_compare(left(cells), op, right(cells)) for left, op, right in links)

    def _operand(self, node: ast.expr) -> Callable[[Cells], Cell]:
        match node:
            case ast.Name(id=alias):
                name = self._names.get(alias, alias)
                self.columns.add(name)
                return lambda cells: cells[name]
            case ast.Constant(value=str(word)):
                return lambda _cells: word
            case ast.Constant(value=int() | float()) | ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                number = _number(node)
                return lambda _cells: number
        raise _refused(node)


def _number(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return -_number(operand) if isinstance(sign, ast.USub) else _number(operand)
    raise _refused(node)


def _refused(node: ast.AST) -> UsageError:
    return UsageError(f"where takes comparisons only, not {ast.unparse(node)[:60]!r}", hint=_HINT)


def _compare(left: Cell, op: ast.cmpop, right: Cell) -> bool:
    """What an empty cell is compared with, it is not equal to."""
    if left is None or right is None:
        return isinstance(op, ast.NotEq)
    if isinstance(left, str) != isinstance(right, str) and not isinstance(op, ast.Eq | ast.NotEq):
        word, number = (left, right) if isinstance(left, str) else (right, left)
        raise UsageError(f"where compares the word {word!r:.60} with the number {number:g}", hint=_HINT)
    return _COMPARISONS[type(op)](left, right)
