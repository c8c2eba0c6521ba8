from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import HwtuneError, UsageError
from hwtune.model.context import Context
from hwtune.model.encoding import tensor
from hwtune.model.features import names
from hwtune.model.learned import Component, Level, fitting
from hwtune.planner.learning import component_of, components_of, entry_of
from hwtune.planner.prior_file import (
    MAX_BYTES,
    MAX_COMPONENTS,
    ComponentEntry,
    Made,
    PriorDocument,
    SourceEntry,
    dumps,
    loads,
    read_prior,
    shipped_prior,
)


def component(*roles: str, seed: int = 0) -> Component:
    size = 2 * len(names(roles))  # type: ignore[arg-type]
    draws = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Component(
        label=f"made up {seed}",
        roles=roles,  # type: ignore[arg-type]
        weight=0.4,
        mean=draws[0],
        covariance=draws @ draws.T / size + 0.01 * torch.eye(size, dtype=torch.float64),
        roughness=tensor([0.01, 0.02]),
        amplitude=tensor([0.03, 0.04]),
        length=0.7,
        level=Level(mean=5.62, sd=0.012) if seed else None,
        context=context(size) if seed else None,
    )


def context(size: int) -> Context:
    return Context(
        names=("ipc", "power_w"),
        scale=tensor([1.5, 90.0]),
        centre=tensor([0.6, 0.7]),
        spread=tensor([0.2, 0.1]),
        slopes=torch.linspace(-1.0, 1.0, 2 * size, dtype=torch.float64).reshape(2, size),
        doubt=tensor([[0.2, 0.05], [0.05, 0.1]]),
        share=0.3,
    )


def document(*components: Component) -> PriorDocument:
    return PriorDocument(
        trained_on=(
            SourceEntry(name="t", machine="a machine", workloads=2, settings=30, source="somewhere", licence="MIT"),
        ),
        made=Made(hwtune="0.1.0", command="hwtune train", date="2026-01-31"),
        components=tuple(entry_of(each) for each in components),
    )


SMALL = document(component("frequency"), component("frequency", "active_cpus", seed=1))


def test_a_file_comes_back_as_it_was_written() -> None:
    assert loads(dumps(SMALL)) == SMALL
    assert dumps(loads(dumps(SMALL))) == dumps(SMALL)


def test_a_component_comes_back_to_six_digits() -> None:
    original = component("frequency", "memory_frequency", "other")
    (found,) = components_of(dumps(document(original)))
    assert (found.label, found.roles, found.weight, found.length) == (
        original.label,
        original.roles,
        original.weight,
        original.length,
    )
    for name in ("mean", "covariance", "roughness", "amplitude"):
        torch.testing.assert_close(getattr(found, name), getattr(original, name), rtol=1e-5, atol=1e-12)
    assert torch.equal(found.covariance, found.covariance.T)
    assert entry_of(component_of(entry_of(original))) == entry_of(original)


def test_what_likeness_tells_comes_back_to_six_digits() -> None:
    original = component("frequency", seed=1)
    assert original.context is not None
    (found,) = components_of(dumps(document(original)))
    assert found.context is not None
    assert (found.context.names, found.context.share) == (original.context.names, original.context.share)
    for name in ("scale", "centre", "spread", "slopes", "doubt"):
        torch.testing.assert_close(getattr(found.context, name), getattr(original.context, name), rtol=1e-5, atol=1e-12)


def test_components_of_features_that_are_unknown_here_are_passed_over() -> None:
    known, other = SMALL.components
    renamed = other.model_copy(update={"features": (*other.features[:-1], "frequency.7")})
    text = dumps(SMALL.model_copy(update={"components": (known, renamed)}))
    assert [each.label for each in components_of(text)] == [known.label]


def test_the_shipped_prior_is_small_names_its_sources_and_fits() -> None:
    text = shipped_prior()
    shipped = loads(text)
    assert len(text.encode()) < 200_000
    assert len(shipped.components) >= 5
    assert shipped.trained_on
    for entry in shipped.trained_on:
        assert entry.source and entry.licence and entry.machine and entry.workloads and entry.settings
        assert any(each.label.split("/")[0] == entry.name for each in shipped.components)
    assert {each.label.split("/")[0] for each in shipped.components} == {entry.name for entry in shipped.trained_on}
    assert len(components_of(None)) == len(shipped.components)
    for roles in (("frequency",), ("active_cpus", "frequency")):
        mixture = fitting(components_of(None), roles)  # type: ignore[arg-type]
        assert sum(each.weight for each in mixture) == pytest.approx(1.0)


Change = Callable[[dict[str, Any]], object]


def put(key: str, value: object) -> Change:
    return lambda file: file["components"][1].__setitem__(key, value)


def likeness(key: str, value: object) -> Change:
    return lambda file: file["components"][1]["context"].__setitem__(key, value)


def bend(file: dict[str, Any]) -> None:
    file["components"][0]["covariance"][1][0] = 2.0 * max(file["components"][0]["covariance"][1][1], 10.0)


BAD: dict[str, tuple[Change, str]] = {
    "other format": (lambda f: f.__setitem__("format", "prior"), "format"),
    "later version": (lambda f: f.__setitem__("version", 2), "version"),
    "unknown key": (lambda f: f.__setitem__("pickle", "gASV"), "pickle"),
    "no source": (lambda f: f.pop("trained_on"), "trained_on"),
    "unknown role": (put("roles", ["frequency", "governor"]), r"components.1.roles.1"),
    "role twice": (put("roles", ["frequency", "frequency"]), "twice"),
    "no role": (put("roles", []), "roles"),
    "short mean": (put("mean", [0.1] * 17), "17 coefficients, and the features need"),
    "square covariance": (put("covariance", [[0.1] * 18] * 18), "no lower triangle of"),
    "indefinite": (bend, "components.0: the covariance is not positive definite"),
    "zero covariance": (
        lambda f: put("covariance", [[0.0] * len(row) for row in f["components"][1]["covariance"]])(f),
        "not positive definite",
    ),
    "text in a number": (lambda f: put("mean", ["0.1"] * len(f["components"][1]["mean"]))(f), "components.1.mean.0"),
    "huge": (lambda f: put("mean", [1e300] * len(f["components"][1]["mean"]))(f), "components.1.mean.0"),
    "null": (put("length", None), "components.1.length"),
    "no length": (put("length", 0.0), "components.1.length"),
    "negative amplitude": (put("amplitude", [-0.1, 0.1]), "components.1.amplitude.0"),
    "one roughness": (put("roughness", [0.1]), "components.1.roughness"),
    "weightless": (put("weight", 0), "components.1.weight"),
    "truth": (put("weight", True), "components.1.weight"),
    "likeness without spread": (likeness("spread", [0.2]), "components.1.context: there are 2 features"),
    "likeness of nothing": (likeness("names", []), "components.1.context.names"),
    "a feature twice": (likeness("names", ["ipc", "ipc"]), "twice"),
    "flat likeness": (likeness("scale", [0.0, 1.0]), "components.1.context.scale.0"),
    "all of it explained": (likeness("share", 1.0), "components.1.context.share"),
    "short slopes": (likeness("slopes", [[0.1], [0.1]]), "slopes of other than 22 coefficients"),
    "no doubt": (likeness("doubt", [[0.0], [0.0, 0.0]]), "the doubt is not positive definite"),
    "square doubt": (likeness("doubt", [[0.2, 0.1], [0.1, 0.2]]), "no lower triangle of 2"),
    "too many": (lambda f: f["components"].extend(f["components"][:1] * MAX_COMPONENTS), "components: .*at most 64"),
}


@pytest.mark.parametrize("change", BAD)
def test_what_does_not_fit_is_named(change: str) -> None:
    alter, said = BAD[change]
    file = json.loads(dumps(SMALL))
    alter(file)
    with pytest.raises(UsageError, match=said) as raised:
        loads(json.dumps(file))
    assert "\n" not in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_numbers_are_finite(number: str) -> None:
    text = dumps(SMALL)
    start = text.index('"mean":[') + len('"mean":[')
    with pytest.raises(UsageError):
        loads(text[:start] + number + text[text.index(",", start) :])


@pytest.mark.parametrize("data", [b"", b"null", b"[" * 100_000, b"\xff\xfe{}", b'{"format": "\\ud800"}', b"{" * 9])
def test_what_is_no_prior_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        loads(data)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_noise_is_refused_and_breaks_nothing(data: str | bytes) -> None:
    with pytest.raises(HwtuneError):
        loads(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_a_file_changed_anywhere_is_a_prior_or_refused(data: st.DataObject) -> None:
    """What is let through gives components that a mixture can be made of."""
    file = at = json.loads(dumps(SMALL))
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(JSON)
    text = json.dumps(file)
    try:
        loads(text)
    except UsageError:
        return
    for each in components_of(text):
        assert torch.linalg.cholesky_ex(each.covariance).info == 0
        assert len(each.mean) == 2 * len(names(each.roles))


def test_reading_stops_at_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "prior.json"
    path.write_text(dumps(SMALL) + " " * MAX_BYTES)
    with pytest.raises(UsageError, match="longer than 1024 KiB"):
        read_prior(path)
    path.write_text(dumps(SMALL) + " " * 100)
    assert read_prior(path) == path.read_text()


def test_no_file_is_no_prior_and_a_directory_is_an_error(tmp_path: Path) -> None:
    assert read_prior(tmp_path / "prior.json") is None
    with pytest.raises(UsageError, match="cannot be read"):
        read_prior(tmp_path)


def test_what_a_file_cannot_hold_is_not_written() -> None:
    broken = component("frequency")
    broken.covariance[0, 0] = -1.0
    with pytest.raises(ValueError, match="positive definite"):
        entry_of(broken)
    assert isinstance(entry_of(component("frequency")), ComponentEntry)
