"""Which rows count: the whitelist of `where`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError
from hwtune.sim.table_filter import parse_where

ROW = {"outlier": 0.0, "threads": 4.0, "campaign": "canneal_4", "note": None, "run time": -1.5}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("outlier == 0", True),
        ("outlier != 0", False),
        ("threads > 4", False),
        ("threads >= 4.0 and outlier < 1", True),
        ("threads < 2 or campaign == 'canneal_4'", True),
        ('threads < 2 or campaign == "other"', False),
        ("not (threads <= 4)", False),
        ("(outlier == 1 or threads == 4) and not outlier == 1", True),
        ("outlier == 1 or threads == 4 and threads == 5", False),
        ("outlier == 0 & threads == 4", True),
        ("outlier == 1 | threads == 4", True),
        ("campaign == 'a & b'", False),
        ("2 < threads <= 4", True),
        ("`run time` < -1", True),
        ("`run time` == -1.5e0", True),
        ("threads == True", False),
        ("outlier == False", True),
        ("threads > outlier", True),
        ("campaign == 4", False),
        ("campaign != 4", True),
        # An empty cell is nothing: unequal to everything, neither above nor below.
        ("note == 'x'", False),
        ("note != 'x'", True),
        ("note > 1", False),
        ("note == note", False),
    ],
)
def test_what_holds(text, holds):
    assert parse_where(text).holds(ROW) is holds


def test_the_columns_it_looks_at():
    assert parse_where("outlier == 0 and (`run time` > threads)").columns == {"outlier", "run time", "threads"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "outlier",
        "1",
        "outlier = 0",
        "outlier == ",
        "__import__('os').system('true') == 0",
        "outlier.real == 0",
        "outlier[0] == 0",
        "threads + 1 == 5",
        "(lambda: 1)() == 1",
        "[1 for x in y] == 0",
        "threads in (1, 2)",
        "threads is 4",
        "outlier == 1j",
        "outlier == None",
        "outlier == f'{threads}'",
        "-campaign == 1",
        "outlier == 0; threads == 4",
        "(" * 300 + "outlier == 0" + ")" * 300,
        "not " * 240 + "outlier",
        "outlier == 0 and " * 100 + "outlier == 0",
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(UsageError, match="where") as caught:
        parse_where(text)
    assert "comparison on columns" in (caught.value.hint or "")


def test_a_word_is_not_below_a_number():
    with pytest.raises(UsageError, match="the word 'canneal_4' with the number 4"):
        parse_where("campaign < 4").holds(ROW)


@given(st.text(alphabet="abc01.()'\"`&|=!<> \\\n\0andorot-", max_size=40) | st.text(max_size=30))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        where = parse_where(text)
        cells = dict.fromkeys(where.columns, 1.0)
        assert where.holds(cells) in (True, False)
    except UsageError:
        pass
