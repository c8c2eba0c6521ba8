import errno
from itertools import pairwise

import pytest
from fake_perf import SOURCE, FakePerf, power_pmu
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.energy import energy_between_j
from hwtune.domain.sample import Sample
from hwtune.sensors.energy import find_energy_source
from hwtune.sensors.power_pmu import PowerPmu, parse_scale

RAPL = "/sys/class/powercap/intel-rapl"
TWO = {0: (0, 0), 24: (1, 0)}


def zone(number, energy="100", name=None):
    path = f"{RAPL}:{number}"
    return {
        f"{path}/name": name or f"package-{number}",
        f"{path}/energy_uj": energy,
        f"{path}/max_energy_range_uj": "262143328850",
    }


def test_packages_are_counted_and_nothing_that_is_inside_them(tree):
    perf = FakePerf()
    pmu = PowerPmu.find(tree(power_pmu("0,24", packages=TWO)), perf)
    assert pmu.zones == ("package-0", "package-1")
    perf.used_j = {(0, 2): 5.0, (24, 2): 7.25, (0, 1): 99.0, (0, 3): 99.0}
    assert [(each.source, each.zone, each.energy_uj) for each in pmu.read()] == [
        ("perf", "package-0", 5_000_000),
        ("perf", "package-1", 7_250_000),
    ]


def test_psys_only_without_packages(tree):
    perf = FakePerf()
    pmu = PowerPmu.find(tree(power_pmu("0", "energy-cores", "energy-psys")), perf)
    perf.used_j = {(0, 5): 2.0}
    assert [(each.zone, each.energy_uj) for each in pmu.read()] == [("psys", 2_000_000)]
    both = PowerPmu.find(tree(power_pmu("0", "energy-pkg", "energy-psys")), perf)
    assert both.zones == ("package-0",)


@pytest.mark.parametrize(
    ("vendor", "zones"),
    [("GenuineIntel", ("package-0-die-0", "package-0-die-1")), ("AuthenticAMD", ("package-0",))],
)
def test_dies_of_amd_share_the_packages_counter(tree, vendor, zones):
    """Linux before 6.11 lists a CPU for each of them all the same, and adding up would multiply the energy."""
    files = tree(power_pmu("0,8", packages={0: (0, 0), 8: (0, 1)}, vendor=vendor))
    assert PowerPmu.find(files, FakePerf()).zones == zones


@pytest.mark.parametrize(
    "change",
    [
        {f"{SOURCE}/events/energy-pkg.unit": "Watts"},
        {f"{SOURCE}/events/energy-pkg.scale": "0"},
        {f"{SOURCE}/events/energy-pkg": "event=?"},
        {f"{SOURCE}/events/energy-pkg": "event=0x102"},
        {f"{SOURCE}/type": "power"},
        {f"{SOURCE}/cpumask": ""},
        {f"{SOURCE}/cpumask": "all"},
    ],
)
def test_what_is_not_understood_is_not_counted(tree, change):
    assert PowerPmu.find(tree({**power_pmu("0", "energy-pkg"), **change}), FakePerf()) is None


def test_a_refusal_leaves_nothing_open(tree):
    files = tree(power_pmu("0,24", packages=TWO))
    perf = FakePerf()
    perf.gone = {24}
    assert PowerPmu.find(files, perf) is None
    perf.refuse = errno.EACCES
    assert PowerPmu.find(files, perf) is None
    assert perf.open_fds == {}


def test_a_cpu_that_goes_is_followed_and_the_gap_is_no_figure(tree):
    files, perf = tree(power_pmu("0")), FakePerf()
    pmu = PowerPmu.find(files, perf)
    perf.used_j = {(0, 2): 50.0, (1, 2): 50.0}
    samples = [Sample(t_ns=0, energy=pmu.read())]
    perf.gone = {0}
    tree(power_pmu("1", packages={1: (0, 0)}))
    samples.append(Sample(t_ns=10**9, energy=pmu.read()))
    samples.append(Sample(t_ns=2 * 10**9, energy=pmu.read()))
    perf.used_j[1, 2] = 80.0
    samples.append(Sample(t_ns=3 * 10**9, energy=pmu.read()))
    assert [energy_between_j(a, b) for a, b in pairwise(samples)] == [None, None, 30.0]
    assert len(perf.open_fds) == 1


def test_perf_is_the_way_where_powercap_is_for_root_only(tree):
    files, perf = tree({**zone(0), **power_pmu("0")}), FakePerf()
    files.refuse[f"{RAPL}:0/energy_uj"] = errno.EACCES
    source = find_energy_source(files, perf)
    assert (source.name, source.quality) == ("RAPL by perf package-0", "package")
    assert "root only" in source.why and source.hint and not source.checked
    perf.refuse = errno.EACCES
    assert find_energy_source(files, perf).quality == "none"


def test_perf_alone(tree):
    source = find_energy_source(tree(power_pmu("0,24", packages=TWO)), FakePerf())
    assert source.name == "RAPL by perf package-0 + package-1"
    assert "no RAPL package zone" in source.why


class Both:
    """A machine whose two ways to the counters a test lets run apart."""

    def __init__(self, tree):
        self.tree, self.perf, self.now_s = tree, FakePerf(), 0.0
        self.by_powercap_j = [100.0, 100.0]
        self.write()
        self.tree(power_pmu("0,24", packages=TWO))
        self.source = find_energy_source(tree(), self.perf)

    def write(self):
        for number, energy_j in enumerate(self.by_powercap_j):
            self.tree(zone(number, str(round(energy_j * 1e6) % 262_143_328_911)))

    def run(self, seconds, powercap_w, perf_w):
        """A reading each second."""
        for _ in range(seconds):
            self.now_s += 1.0
            for number, cpu in enumerate(TWO):
                self.by_powercap_j[number] += powercap_w[number]
                self.perf.used_j[cpu, 2] = self.perf.used_j.get((cpu, 2), 0.0) + perf_w[number]
            self.write()
            self.source.read(round(self.now_s * 1e9))


def test_both_ways_that_agree_leave_no_doubt(tree):
    both = Both(tree)
    both.by_powercap_j[1] = 262_143.3  # and through a wrap of one of them
    both.run(20, (20.0, 30.0), (20.5, 30.0))
    assert both.source.checked
    assert both.source.doubt is None
    assert both.source.name == "RAPL package-0 + package-1"


def test_a_disagreement_makes_the_figure_doubtful_and_is_not_averaged(tree):
    both = Both(tree)
    both.run(8, (20.0, 30.0), (20.0, 33.0))
    assert "package-1" in both.source.doubt and "package-0" not in both.source.doubt
    assert "90 J by powercap, 99 J by perf" in both.source.doubt
    assert both.source.name.startswith("RAPL package-0 + package-1 (doubtful: ")
    assert [each.source for each in both.source.read(10**12)] == ["powercap", "powercap"]
    both.run(20, (20.0, 30.0), (20.0, 30.0))
    assert both.source.doubt


def test_what_differs_by_the_resolution_only_is_no_disagreement(tree):
    """Hardly any energy at all: of each counter a step may be missing."""
    both = Both(tree)
    both.run(8, (0.00001, 0.00001), (0.00003, 0.00001))
    assert both.source.doubt is None


def test_a_way_that_fails_says_nothing(tree):
    both = Both(tree)
    both.perf.gone = {0, 24}
    both.run(10, (20.0, 30.0), (0.0, 0.0))
    assert both.source.doubt is None


@given(st.text(max_size=30) | st.from_regex(r"\d{1,3}(\.\d{1,3})?(e-?\d{1,3})?", fullmatch=True))
def test_a_scale_is_a_positive_number_or_none(text):
    scale = parse_scale(text)
    assert scale is None or 0.0 < scale < float("inf")


def test_the_kernels_scale():
    assert parse_scale("2.3283064365386962890625e-10\n") == 2**-32
