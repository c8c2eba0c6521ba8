"""Every reader of the kernel's text on any text, and on any refusal: a value of its kind, or absent."""

from __future__ import annotations

import errno
import fnmatch
from collections.abc import Mapping
from contextlib import suppress

from fake_perf import FakePerf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import HostError, PermissionDenied, TransientError
from hwtune.domain.interval import Interval
from hwtune.domain.sample import Sample
from hwtune.host.clock import LinuxClock
from hwtune.host.event_source import parse_cpu_list
from hwtune.host.fs import natural
from hwtune.host.machine import Host
from hwtune.host.perf_system import NoCounters
from hwtune.host.runner import LinuxRunner
from hwtune.knobs.policies import clusters, parse_cpus, read_policies
from hwtune.knobs.space import Layout
from hwtune.sensors.collector import Collector
from hwtune.sensors.energy import find_energy_source

CPU = "/sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy"
OLD = f"{CPU}/cpu0/cpufreq"
ATTRIBUTES = (
    "affected_cpus",
    "related_cpus",
    "scaling_driver",
    "scaling_available_governors",
    "scaling_governor",
    "cpuinfo_min_freq",
    "cpuinfo_max_freq",
    "scaling_min_freq",
    "scaling_max_freq",
    "scaling_cur_freq",
    "scaling_available_frequencies",
    "scaling_boost_frequencies",
    "bios_limit",
    "base_frequency",
    "boost",
    "energy_performance_preference",
    "energy_performance_available_preferences",
    "stats/time_in_state",
    "ondemand/up_threshold",
)
PMU = "/sys/bus/event_source/devices/power"
PATHS = (
    *(f"{POLICY}{number}/{name}" for number in (0, 4) for name in ATTRIBUTES),
    *(f"{OLD}/{name}" for name in ATTRIBUTES[:8]),
    f"{CPU}/cpu0/cpu_capacity",
    f"{CPU}/cpufreq/boost",
    f"{CPU}/cpufreq/schedutil/rate_limit_us",
    f"{CPU}/intel_pstate/no_turbo",
    *(f"{CPU}/cpu0/cpuidle/state{n}/{name}" for n in (0, 1) for name in ("name", "time")),
    *(f"/sys/class/powercap/intel-rapl:0/{name}" for name in ("name", "energy_uj", "max_energy_range_uj", "enabled")),
    *(
        f"/sys/class/powercap/intel-rapl:0/constraint_{n}_{what}_uw"
        for n in (0, 1)
        for what in ("power_limit", "max_power")
    ),
    *(f"{PMU}/{name}" for name in ("type", "cpumask", "format/event", "events/energy-pkg")),
    *(f"{PMU}/events/energy-pkg.{name}" for name in ("scale", "unit")),
    *(f"{CPU}/cpu0/topology/{name}" for name in ("physical_package_id", "die_id")),
    "/proc/cpuinfo",
    *(f"/sys/class/hwmon/hwmon0/{n}" for n in ("name", "power1_average", "power1_average_interval", "temp1_input")),
    *(f"/sys/class/hwmon/hwmon1/device/{n}" for n in ("name", "energy65_input", "energy65_label")),
    *(f"/sys/class/power_supply/BAT0/{n}" for n in ("type", "status", "power_now", "current_now", "voltage_now")),
    *(f"/sys/class/power_supply/AC/{n}" for n in ("type", "online", "scope")),
    *(f"/sys/class/thermal/thermal_zone0/{n}" for n in ("type", "temp")),
    "/proc/stat",
    *(f"/proc/pressure/{name}" for name in ("cpu", "memory", "io")),
)
LIKELY = {
    "enabled": ("1",),
    "cpumask": ("0", "0,24"),
    "format": ("config:0-7",),
    "energy-pkg": ("event=0x02",),
    "energy-pkg.scale": ("2.3283064365386962890625e-10",),
    "energy-pkg.unit": ("Joules",),
    "event": ("config:0-7",),
    "physical_package_id": ("0",),
    "cpuinfo": ("vendor_id\t: AuthenticAMD",),
    "name": ("package-0", "power_meter", "amd_energy", "k10temp", "C1", "psys"),
    "type": ("Battery", "Mains", "x86_pkg_temp", "acpitz"),
    "status": ("Discharging", "Full"),
    "energy65_label": ("Esocket0",),
    "scaling_driver": ("intel_pstate", "amd-pstate-epp", "acpi-cpufreq"),
    "scaling_available_governors": ("performance powersave", "ondemand schedutil performance"),
    "scaling_governor": ("powersave", "ondemand"),
    "stat": ("cpu  1 2 3 4 5 6 7 8 0 0", "cpu 1 2", "cpu " + "9" * 20 + " 1 1 1"),
    "time_in_state": ("1200000 5\n800000 7", "1200000 -5"),
    "cpu": ("some avg10=0.00 avg60=0.00 avg300=0.00 total=7", "some total=²"),
}
odd = st.sampled_from(
    ["", "0", "1", "-1", "1200000", "99999999999999999999", "9" * 4000, "²", "٣", "1_0", "<unsupported>", "a b c", "\0"]
) | st.text(max_size=12)
REFUSALS = {errno.EACCES: PermissionDenied, errno.EBUSY: TransientError, errno.EIO: HostError}


class Texts:
    """A machine whose files say this; a number is an errno that is raised, a file that is not there is absent."""

    def __init__(self, texts: Mapping[str, str | int]) -> None:
        self._texts = texts

    def __repr__(self) -> str:
        return f"Texts({self._texts!r})"

    def read(self, path: str) -> str | None:
        text = self._texts.get(path)
        if isinstance(text, int):
            raise REFUSALS[text](path, "read", errno=text)
        return text.rstrip() if text is not None else None

    def write(self, path: str, value: str) -> None:
        raise AssertionError(f"{path} was written")

    def glob(self, pattern: str) -> tuple[str, ...]:
        depth = pattern.count("/") + 1
        known = {"/".join(path.split("/")[:depth]) for path in self._texts if path.count("/") >= depth - 1}
        return tuple(sorted((path for path in known if fnmatch.fnmatchcase(path, pattern)), key=natural))

    def writable(self, path: str) -> bool:
        return path in self._texts


@st.composite
def machines(draw: st.DrawFn) -> Texts:
    """Any subset of the files, half of what they say plausible."""
    texts: dict[str, str | int] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=len(PATHS), unique=True)):
        likely = st.sampled_from(LIKELY.get(path.rsplit("/", 1)[1], ("1200000", "800000", "1")))
        texts[path] = draw(likely | likely | odd | st.sampled_from(sorted(REFUSALS)))
    return Texts(texts)


@given(first=machines(), second=machines())
@settings(max_examples=150, deadline=None)
def test_sensors(first: Texts, second: Texts) -> None:
    files = Texts({})
    files._texts = first._texts
    host = Host(
        name="fuzz",
        files=files,
        clock=LinuxClock(),
        counters=NoCounters(),
        runner=LinuxRunner(),
        run_dir=None,  # type: ignore[arg-type]
    )
    collector = Collector(host)
    samples = [collector.sample()]
    files._texts = second._texts  # every text may have changed, come or gone since the sensors were looked up
    samples += [collector.sample_energy(), collector.sample()]
    assert all(isinstance(sample, Sample) for sample in samples)
    interval = Interval.over(samples)
    assert interval.energy_j is None or interval.energy_j == interval.energy_j
    assert all(0.0 <= share <= 1.0 for share in (*interval.pressure.values(), *interval.idle_ratio.values()))


class Counting(FakePerf):
    """Opens whatever it is asked for."""

    def open(self, attr: bytes, *, pid: int, cpu: int, group: int) -> int:
        assert len(attr) == 64
        self.opened += 1
        self.open_fds[self.opened] = (cpu, 2, 0.0)
        return self.opened


@given(first=machines(), second=machines())
@settings(max_examples=150, deadline=None)
def test_perfs_power_pmu(first: Texts, second: Texts) -> None:
    files, perf = Texts({}), Counting()
    files._texts = first._texts
    source = find_energy_source(files, perf)
    files._texts = second._texts
    for second_s in (0, 2, 5, 9):
        assert len(source.read(second_s * 10**9)) == len(source.read(second_s * 10**9 + 5))
    assert (source.resolution is None) == (source.quality == "none")
    assert 0.1 <= source.period_s <= 1.0


@given(machines())
@settings(max_examples=150, deadline=None)
def test_policies_and_knobs(files: Texts) -> None:
    policies = read_policies(files)
    assert len({policy.number for policy in policies}) == len(policies)
    groups = clusters(policies)
    assert sorted(p.number for group in groups for p in group.policies) == [p.number for p in policies if p.online]
    space = Layout(files, policies).space
    for knob in space.knobs:
        assert knob.legal(knob.default), knob


@given(st.text(max_size=30) | st.text(alphabet="0123456789,- \n", max_size=30))
@example("0-999999999999")
def test_lists_of_cpus(text: str) -> None:
    assert len(parse_cpus(text)) <= 100_000
    with suppress(ValueError):
        assert len(parse_cpu_list(text)) <= 100_000
