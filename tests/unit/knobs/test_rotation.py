"""Knobs through their values and back, on machines with a kernel's manners and on machines that misbehave."""

from __future__ import annotations

import errno

import pytest
from bench import CPUFREQ, Bench
from fake.faults import Fault
from fake.machines import MACHINES

from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.knobs import extra
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.rotation import Rotation, differing, setting_of, values_of
from hwtune.knobs.transaction import Transaction

GOVERNOR = f"{CPUFREQ}/policy0/scaling_governor"
MAX = f"{CPUFREQ}/policy0/scaling_max_freq"


def frequency(name, default, **more):
    return RangeKnob(name=name, role="frequency", unit="kHz", low=1000, high=3000, step=100, default=default, **more)


def rotate(bench, run_dir, names=None, wanted=()):
    backend = CpufreqBackend(bench, sleep=lambda _: None, wanted=wanted)
    rotation = Rotation(
        space=backend.space,
        transaction=lambda: Transaction(
            backend, run_dir=run_dir, verb="selftest", files=bench, slept_s=lambda: 0.0, on_foreign="yield"
        ),
        snapshot=backend.snapshot,
        now_s=lambda: 0.0,
    )
    return list(rotation.run(backend.space.names if names is None else names))


def results(turned):
    return {turn.wanted: turn.result for turn in turned.turns}


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_is_as_it_was_to_the_byte(tmp_path, name):
    bench = Bench(MACHINES[name]())
    before = bench.kernel.state()
    turned = rotate(bench, tmp_path, wanted=extra.WORDS)
    assert bench.writes, "it was turned at all"
    assert bench.kernel.state() == before
    assert all(each.restored and not each.unexplained for each in turned)
    assert {turn.result for each in turned for turn in each.turns} <= {"applied", "already", "clamped", "rejected"}
    governors = next(each for each in turned if each.knob.endswith("governor"))
    assert set(results(governors).values()) == {"applied"}
    assert not (tmp_path / "journal.json").exists()


def test_a_range_is_tried_at_its_ends_and_its_middle_and_ends_where_it_began():
    assert values_of(frequency("max", 3000)) == (1000, 2000, 3000)
    assert values_of(frequency("max", 1500)) == (1000, 2000, 3000, 1500)
    levels = RangeKnob(name="x", role="other", unit="", low=1, high=9, levels=(1, 2, 9), default=2)
    assert values_of(levels) == (1, 9, 2)
    words = ChoiceKnob(name="governor", role="governor", choices=("a", "b", "c"), default="b")
    assert values_of(words) == ("a", "c", "b")


def test_what_a_value_needs_is_set_with_it():
    governor = ChoiceKnob(name="governor", role="governor", choices=("performance", "ondemand"), default="performance")
    under = (Activity(knob="governor", values=("ondemand",)),)
    threshold = RangeKnob(name="ondemand.up", role="other", unit="%", low=1, high=100, default=80, active_when=under)
    high, low = frequency("max", 3000), frequency("min", 2000)
    space = KnobSpace(knobs=(governor, high, low, threshold), ordered_pairs=(("min", "max"),))
    assert setting_of(space, threshold, 1) == Setting({"ondemand.up": 1, "governor": "ondemand"})
    assert setting_of(space, high, 1000) == Setting(max=1000, min=1000)
    assert setting_of(space, high, 2500) == Setting(max=2500)
    assert setting_of(space, low, 3000) == Setting(min=3000)
    assert all(
        space.legal(space.default | setting_of(space, knob, value)) for knob in space.knobs for value in values_of(knob)
    )


def test_a_rejected_value_does_not_keep_the_others_from_being_tried(tmp_path):
    bench = Bench(MACHINES["acpi_cpufreq"]())
    bench.kernel.faults = [Fault(pattern="*/scaling_governor", errno=errno.EINVAL, times=1)]
    (turned,) = rotate(bench, tmp_path, ["governor"])
    said = list(results(turned).values())
    assert said[0] == "rejected"
    assert set(said[1:]) == {"applied"}
    assert turned.turns[0].errno == errno.EINVAL
    assert turned.restored


def test_what_reads_otherwise_for_no_reason_is_told(tmp_path):
    bench = Bench(MACHINES["acpi_cpufreq"]())
    before = bench.kernel.state()

    def ignored(kernel):
        """The write is taken and has no effect, whatever was asked for."""
        kernel.faults.append(Fault(pattern=GOVERNOR, operation="read", text="userspace\n", times=2))

    bench.kernel.faults = [Fault(pattern=GOVERNOR, action=ignored, times=1)]
    (turned,) = rotate(bench, tmp_path, ["governor"])
    assert len(turned.unexplained) == 1
    assert "userspace" in (turned.unexplained[0].effective or "")
    assert len(turned.turns) == len(values_of(CpufreqBackend(bench).space["governor"])), "the others were tried"
    assert turned.restored
    assert bench.kernel.state() == before


def test_what_cannot_be_put_back_is_told_and_ends_it(tmp_path):
    bench = Bench(MACHINES["acpi_cpufreq"]())
    values = len(values_of(CpufreqBackend(bench).space["governor"]))
    # Once the last value but one is set, nothing can be written to the governor any more.
    bench.kernel.faults = [Fault(pattern=GOVERNOR, skip=values - 1, times=None, errno=errno.EIO)]
    turned = rotate(bench, tmp_path)
    assert [each.knob for each in turned] == ["governor"]
    assert not turned[0].restored
    assert "scaling_governor" in (turned[0].failure or "")
    assert GOVERNOR in turned[0].differing
    assert (tmp_path / "journal.json").exists(), "hwtune restore can try again"


class Meddled(Transaction):
    """Somebody sets a limit between our second value and our third."""

    applied = 0

    def apply(self, setting):
        self.applied += 1
        if self.applied == 3:
            self._files.kernel.somebody(MAX, "1200000")
        return super().apply(setting)


def test_what_somebody_else_sets_meanwhile_is_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr("test_rotation.Transaction", Meddled)
    bench = Bench(MACHINES["acpi_cpufreq"]())
    (turned,) = rotate(bench, tmp_path, ["max"])
    assert turned.foreign == {MAX: "1200000"}
    assert turned.differing.keys() == {MAX}
    assert turned.restored, "but for what is theirs"
    assert bench.read(MAX) == "1200000"
    assert [turn.result for turn in turned.turns] == ["applied", "applied", "yielded"]


def test_a_firmware_limit_that_comes_is_nobodys_setting():
    one, two = {"x/bios_limit": "2000", "x/boost": "1"}, {"x/bios_limit": "1000", "x/boost": "0"}
    assert differing(one, two) == {"x/boost": ("1", "0")}
    assert differing({}, {"x/new": "1"}) == {"x/new": (None, "1")}
