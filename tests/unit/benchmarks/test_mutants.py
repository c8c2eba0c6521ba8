"""The mutants of scripts/mutation still fit the code that they empty."""

from __future__ import annotations

import ast

import pytest
from mutation import MUTANTS, ROOT, TESTS, Mutant, claims, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_the_same_file_with_one_other_body(mutant: Mutant) -> None:
    source = (ROOT / "hwtune" / "knobs" / mutant.file).read_text()
    changed = mutated(source, mutant.function, mutant.body)
    assert changed != source
    names = [[node.name for node in ast.walk(ast.parse(text)) if hasattr(node, "name")] for text in (source, changed)]
    assert set(names[1]) <= set(names[0])


def test_a_function_that_is_gone_is_said() -> None:
    with pytest.raises(LookupError, match="has to follow"):
        mutated("def f():\n    return 1\n", "g", "pass")


def test_an_emptied_body_may_be_several_lines_under_a_docstring() -> None:
    source = 'class A:\n    def f(self):\n        """Say."""\n        return (\n            1\n        )\n\n\nx = 1\n'
    assert mutated(source, "A.f", "return 2") == "class A:\n    def f(self):\n        return 2\n\n\nx = 1\n"


def test_many_tests_claim_that_everything_is_put_back() -> None:
    found = claims(ROOT, TESTS)
    assert len(found) > 30
    assert "test_restore_property::test_leaving_gives_back_the_start" in found
