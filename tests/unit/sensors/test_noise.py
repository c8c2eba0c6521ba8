"""What is counted around a run, and how the machine stands."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.trial import Run
from hwtune.host.fs import LinuxFS
from hwtune.sensors.circumstances import Circumstances, read_circumstances
from hwtune.sensors.noise import NoiseMeter, count_cpus, parse_swapped_pages

CPU = "/sys/devices/system/cpu"
P0, P1 = f"{CPU}/cpufreq/policy0", f"{CPU}/cpufreq/policy1"
RUN = Run(time_s=1.0, energy_j=None)


def throttle(cpu, core, package):
    place = f"{CPU}/cpu{cpu}/thermal_throttle"
    return {f"{place}/core_throttle_count": core, f"{place}/package_throttle_count": package}


def test_a_run_carries_what_was_counted_while_it_lasted(tree):
    files = tree({**throttle(0, 5, 9), **throttle(1, 2, 9), "/proc/vmstat": "nr_free_pages 1\npswpin 10\npswpout 20"})
    meter = NoiseMeter(files, dict)
    meter.begin()
    tree({**throttle(0, 6, 11), **throttle(1, 2, 11), "/proc/vmstat": "pswpin 13\npswpout 24"})
    found = meter.end(RUN)
    assert found.run is RUN
    assert found.throttles == 3, "one of a core, two of the package, which both CPUs count"
    assert found.swapped_pages == 7


def test_what_is_not_counted_or_begins_anew_is_not_known(tree):
    files = tree()
    meter = NoiseMeter(files, dict)
    meter.begin()
    assert (meter.end(RUN).throttles, meter.end(RUN).swapped_pages) == (None, None)
    tree({"/proc/vmstat": "pswpin 10\npswpout 20"})
    meter.begin()
    tree({"/proc/vmstat": "pswpin 0\npswpout 1"})
    assert meter.end(RUN).swapped_pages is None


def policy(directory, *, limit, top, governor, bios=None):
    firmware = {} if bios is None else {f"{directory}/bios_limit": bios}
    return {
        f"{directory}/scaling_max_freq": limit,
        f"{directory}/cpuinfo_max_freq": top,
        f"{directory}/scaling_governor": governor,
        **firmware,
    }


def test_limits_and_what_the_governor_asks_for_are_those_of_busy_policies(tree):
    files = tree(
        {
            **policy(P0, limit=3_000_000, top=4_000_000, governor="performance", bios=2_800_000),
            **policy(P1, limit=4_000_000, top=4_000_000, governor="schedutil"),
        }
    )
    clocks = [{P0: 1}, {P0: 2_700_000, P1: 4_100_000}, {}, {P0: 2_600_000}]
    meter = NoiseMeter(files, lambda: clocks.pop(0))
    meter.begin()
    found = meter.end(RUN)
    assert found.clock_khz == {P0: 2_700_000, P1: 4_100_000}, "what was seen before the run is forgotten"
    assert found.limit_khz == {P0: 2_800_000}, "of the two the firmware's; none where nothing is limited"
    assert found.demanded_khz == {P0: 2_800_000}
    tree({f"{P0}/scaling_governor": "powersave"})
    meter.begin()
    assert meter.end(RUN).demanded_khz == {}


def test_cpus_are_counted_by_their_lines(tree):
    assert count_cpus(tree({"/proc/stat": "cpu  9 9 9 9\ncpu0 1 1 1 1\ncpu7 1 1 1 1\nintr 1"})) == 2
    assert count_cpus(LinuxFS("/nowhere")) == 0


@given(st.text())
def test_any_vmstat(text):
    parse_swapped_pages(text)


class AnyText:
    """Files of which every one is there and has some text."""

    def __init__(self, texts):
        self._texts = texts

    def read(self, path):
        return self._texts[crc32(path.encode()) % len(self._texts)]

    def glob(self, pattern):
        return (pattern.replace("*", "0").replace("[0-9]", "1"),)


@given(st.lists(st.text() | st.integers().map(str) | st.sampled_from(["Mains", "1", "performance"]), min_size=1))
def test_any_text_of_the_kernel(texts):
    files = AnyText(texts)
    found = read_circumstances(files)
    assert found.turbo in (None, True, False) and found.on_mains in (None, True, False)
    meter = NoiseMeter(files, lambda: {P0: 1_000_000})
    meter.begin()
    run = meter.end(RUN)
    assert run.throttles in (None, 0), "nothing has grown"
    assert all(khz > 0 for khz in run.limit_khz.values())


def test_swap_of_one_kind_only():
    assert parse_swapped_pages("pswpout 5\nxpswpin 7") == 5
    assert parse_swapped_pages("pswpin many") is None


def test_how_a_laptop_stands(tree):
    files = tree(
        {
            "/proc/cpuinfo": "processor : 0\nflags\t\t: fpu vme hypervisor lahf_lm",
            f"{CPU}/intel_pstate/no_turbo": 0,
            f"{CPU}/smt/active": 1,
            **policy(P0, limit=2_000_000, top=2_000_000, governor="powersave"),
            **policy(P1, limit=2_000_000, top=2_000_000, governor="powersave"),
            f"{P0}/scaling_min_freq": 400_000,
            f"{P1}/scaling_min_freq": 2_000_000,
            "/proc/sys/kernel/randomize_va_space": 1,
            "/proc/sys/kernel/perf_event_max_sample_rate": 100000,
            "/sys/class/power_supply/AC/type": "Mains",
            "/sys/class/power_supply/AC/online": 0,
            "/sys/class/power_supply/BAT0/type": "Battery",
            "/sys/class/power_supply/BAT0/online": 1,
            f"{CPU}/isolated": "2-3",
        }
    )
    assert read_circumstances(files) == Circumstances(
        hypervisor=True,
        turbo=True,
        smt=True,
        governors=("powersave",),
        frequency_fixed=False,
        aslr=1,
        perf_sample_rate=100_000,
        on_mains=False,
        isolated_cpus="2-3",
    )


@pytest.mark.parametrize(
    ("path", "text", "turbo"),
    [
        (f"{CPU}/intel_pstate/no_turbo", 1, False),
        (f"{CPU}/cpufreq/boost", 1, True),
        (f"{CPU}/cpufreq/boost", 0, False),
        (f"{P1}/boost", 1, True),
    ],
)
def test_turbo_has_a_file_for_each_driver(tree, path, text, turbo):
    assert read_circumstances(tree({path: text})).turbo is turbo


def test_a_machine_that_says_nothing(tree):
    assert read_circumstances(tree()) == Circumstances()
    assert read_circumstances(tree({"/proc/cpuinfo": "flags : fpu"})).hypervisor is False
    one = {f"{CPU}/cpu0/cpufreq/scaling_{end}_freq": 800_000 for end in ("min", "max")}
    assert read_circumstances(tree(one)).frequency_fixed is True, "the old layout, one frequency"
