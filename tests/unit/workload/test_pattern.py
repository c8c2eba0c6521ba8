"""Numbers in text by the user's expressions: what is found, what is refused, and that nothing hangs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.workload import pattern
from hwtune.workload.metric import OutputNumber
from hwtune.workload.pattern import Pattern, last_words


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        (r"tps=([0-9.]+)", "tps=1\nnoise\ntps=2.5 ok", [1.0, 2.5]),
        (r"[0-9.]+$", "a 1\nb 22", [1.0, 22.0]),
        (r"^(?:lat|rtt) (\S+)|^alt (\S+)", "lat 1e-3\nalt 7", [1e-3, 7.0]),
        (r"tps=([0-9.]+)", "nothing here", []),
        (r"(-?[0-9]+)", "-3", [-3.0]),
    ],
)
def test_every_match_is_a_number(expression: str, text: str, found: list[float]) -> None:
    assert Pattern(expression).numbers(text, "it") == found


def test_of_the_last_one_alone_earlier_ones_need_be_no_numbers() -> None:
    it = Pattern(r"tps=(\S+)")
    assert it.numbers("tps=starting\ntps=7", "it", most=1) == [7.0]
    with pytest.raises(WorkloadError, match="'starting' in it, which is no number"):
        it.numbers("tps=starting\ntps=7", "it")


@pytest.mark.parametrize("word", ["1.2.3", "1,234", "nan", "inf", "1_0x", "-"])
def test_what_is_no_finite_number_is_refused(word: str) -> None:
    with pytest.raises(WorkloadError, match="no number") as caught:
        Pattern(r"=(\S+)").numbers(f"={word}", "the output")
    assert caught.value.hint


@pytest.mark.parametrize("expression", ["(", "*", "(?P<a>x)(?P<a>y)", "[z-a]", "a{99999999999}", "(?<=a+)b"])
def test_what_is_no_expression_is_a_usage_error(expression: str) -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        Pattern(expression)


def test_an_expression_that_tries_everything_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "_LIMIT_S", 0.1)
    with pytest.raises(WorkloadError, match=r"not done with the output after 0\.1 s") as caught:
        Pattern(r"(a+)+$").numbers("a" * 64 + "!", "the output")
    assert caught.value.hint is not None and "(a+)+" in caught.value.hint


@settings(max_examples=150, deadline=None)
@given(expression=st.text(max_size=12), text=st.text(max_size=60))
def test_any_expression_on_any_text_gives_numbers_or_an_error_of_ours(expression: str, text: str) -> None:
    try:
        found = Pattern(expression).numbers(text, "it")
    except (UsageError, WorkloadError) as error:
        assert error.hint and "\n" not in str(error)[:60]
        return
    assert all(map(math.isfinite, found))


def test_the_output_comes_before_stderr_and_the_last_match_counts() -> None:
    it = OutputNumber(Pattern(r"tps=([0-9.]+)"))
    assert it.end("tps=1\ntps=3\n", "tps=9") == 3.0
    assert it.end("quiet", "tps=9") == 9.0
    with pytest.raises(WorkloadError, match="matches nothing that the command said") as caught:
        it.end("one\n\ntwo\n", "")
    assert caught.value.hint == "its last words were:\n  one\n  two"
    with pytest.raises(WorkloadError) as caught:
        it.end("", "")
    assert caught.value.hint == "it printed nothing"


def test_of_a_long_end_only_the_last_lines_are_shown() -> None:
    said = last_words("\n".join(f"{n} " + "x" * 1000 for n in range(20)))
    assert len(said.splitlines()) == 6
    assert max(map(len, said.splitlines())) <= 202
