"""Policies, clusters and the knobs made of them."""

from pathlib import Path

import pytest
from bench import acpi
from hypothesis import given
from hypothesis import strategies as st
from sysfs_trees import CPU, intel_policy, policy, write_tree

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Activity, Setting
from hwtune.host.fs import LinuxFS, open_root
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.policies import clusters, parse_cpus, read_policies

TREES = Path(__file__).resolve().parents[3].parent / "shared" / "trees"


@pytest.mark.parametrize(
    ("text", "cpus"), [("0 1 2 3", (0, 1, 2, 3)), ("0-3,8", (0, 1, 2, 3, 8)), ("", ()), ("7", (7,)), ("a 1-", ())]
)
def test_cpus(text, cpus):
    assert parse_cpus(text) == cpus


@given(st.sets(st.integers(0, 300)))
def test_cpus_of_any_machine(cpus):
    assert parse_cpus(" ".join(map(str, cpus))) == tuple(sorted(cpus))


def read(root, *parts):
    return read_policies(LinuxFS(write_tree(root, {path: text for part in parts for path, text in part.items()})))


def test_a_policy_with_everything(tmp_path):
    (found,) = read(
        tmp_path,
        policy(
            0,
            cpus="0 1",
            base_frequency="1400000",
            bios_limit="2000000",
            boost="1",
            scaling_boost_frequencies="2200000",
        ),
        {f"{CPU}/cpu0/cpu_capacity": "1024"},
    )
    assert (found.number, found.cpus, found.related, found.online) == (0, (0, 1), (0, 1), True)
    assert (found.driver, found.governor) == ("acpi-cpufreq", "schedutil")
    assert found.governors == ("ondemand", "performance", "schedutil")
    assert found.available_khz == (800_000, 1_400_000, 2_000_000, 2_200_000)
    assert (found.base_khz, found.bios_limit_khz, found.boost, found.capacity) == (1_400_000, 2_000_000, "1", 1024)
    assert found.path("scaling_governor") == "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"


def test_policies_are_in_the_order_of_their_numbers(tmp_path):
    assert [p.number for p in read(tmp_path, policy(10), policy(2), policy(0))] == [0, 2, 10]


def test_the_old_layout_is_grouped_by_related_cpus(tmp_path):
    parts = [policy(cpu, cpus="0 1" if cpu < 2 else "2 3", old=True) for cpu in range(4)]
    found = read(tmp_path, *parts)
    assert [(p.number, p.related, p.directory) for p in found] == [
        (0, (0, 1), "/sys/devices/system/cpu/cpu0/cpufreq"),
        (2, (2, 3), "/sys/devices/system/cpu/cpu2/cpufreq"),
    ]


def test_empty_and_missing_files_are_none(tmp_path):
    (found,) = read(tmp_path, {f"{CPU}/cpufreq/policy3/scaling_driver": "mystery", f"{CPU}/cpufreq/policy3/boost": ""})
    assert found.driver == "mystery"
    assert (found.governor, found.scaling_max_khz, found.available_khz, found.epp, found.boost) == (None,) * 5
    assert found.related == (3,)


def test_an_offline_policy_is_listed_and_belongs_to_no_cluster():
    kernel = acpi()
    kernel.plug(1, False)
    found = read_policies(kernel)
    assert [(p.number, p.online, p.cpus) for p in found] == [(0, True, (0,)), (1, False, ())]
    assert [cluster.first.number for cluster in clusters(found)] == [0]


def test_clusters_of_like_cores(tmp_path):
    favoured = policy(1, cpuinfo_max_freq="2100000")
    little = policy(2, cpuinfo_max_freq="1400000", scaling_max_freq="1400000")
    hot = policy(3, scaling_governor="performance")  # set otherwise, but the same kind of core
    found = clusters(read(tmp_path, policy(0), favoured, little, hot))
    assert [[p.number for p in cluster.policies] for cluster in found] == [[0, 1, 3], [2]]
    assert found[0].cpus == (0, 1, 3)


def backend(root, *parts):
    read(root, *parts)
    return CpufreqBackend(LinuxFS(root))


def test_knobs_of_like_cores(tmp_path):
    found = backend(tmp_path, policy(0), policy(1), {f"{CPU}/cpufreq/boost": "1"})
    space = found.space
    assert space.names[:4] == ("governor", "max", "min", "ondemand.up_threshold")
    assert space.names[-1] == "boost"
    assert space["max"].levels == (800_000, 1_400_000, 2_000_000)
    assert space["max"].scope == (0, 1)
    assert space.ordered_pairs == (("min", "max"),)
    assert space["ondemand.up_threshold"].active_when == (Activity(knob="governor", values=("ondemand",)),)
    assert all(knob.legal(knob.default) for knob in space.knobs)
    assert found.effective() == space.default.only(("governor", "max", "min", "boost"))


def test_knobs_of_two_clusters(tmp_path):
    little = policy(4, cpuinfo_max_freq="1400000", scaling_max_freq="1400000", scaling_available_frequencies="")
    space = backend(tmp_path, policy(0), little).space
    assert {"policy0.max", "policy4.max", "policy0.governor", "policy4.governor"} <= set(space.names)
    assert space["policy4.max"].levels == (800_000, 900_000, 1_000_000, 1_100_000, 1_200_000, 1_300_000, 1_400_000)
    assert space.ordered_pairs == (("policy0.min", "policy0.max"), ("policy4.min", "policy4.max"))
    # Common tunables have no policy in their name.
    assert "ondemand.up_threshold" in space.names


def test_like_cores_that_are_set_differently_keep_their_own_defaults(tmp_path):
    space = backend(tmp_path, policy(0), policy(1, scaling_max_freq="1400000")).space
    assert (space["policy0.max"].default, space["policy1.max"].default) == (2_000_000, 1_400_000)


def test_favoured_cores_each_have_their_own_top(tmp_path):
    favoured = policy(1, cpuinfo_max_freq="2100000", scaling_max_freq="2100000")
    found = backend(tmp_path, policy(0), favoured)
    assert found.space["max"].default == found.effective()["max"] == 2_100_000
    assert found.plan(found.space.default) == ()
    texts = {write.path.split("/")[6]: write.value for write in found.plan(Setting(max=1_400_000))}
    assert texts == {"policy0": "1400000", "policy1": "1400000"}
    # Beyond what any core reaches now it is a request, for when boost is on.
    assert {write.value for write in found.plan(Setting(max=2_200_000))} == {"2200000"}


def test_epp_and_no_turbo(tmp_path):
    found = backend(
        tmp_path, intel_policy(0), intel_policy(1), {f"{CPU}/intel_pstate/no_turbo": "1", f"{CPU}/cpufreq/boost": "1"}
    )
    epp = found.space["epp"]
    assert epp.choices == ("performance", "balance_performance", "balance_power", "power")
    assert epp.ordered
    assert epp.active_when == (Activity(knob="governor", values=("powersave",)),)
    assert found.space["boost"].default == "0"
    assert found.effective()["boost"] == "0"
    (write,) = found.plan(found.effective().diff({"boost": "1"}))
    assert (write.path, write.value) == ("/sys/devices/system/cpu/intel_pstate/no_turbo", "0")


def test_a_number_found_has_its_place_among_the_words(tmp_path):
    epp = backend(tmp_path, intel_policy(0) | {f"{CPU}/cpufreq/policy0/energy_performance_preference": "178"}).space[
        "epp"
    ]
    assert epp.choices == ("performance", "balance_performance", "178", "balance_power", "power")
    assert epp.default == "178"


def test_defaults_come_from_the_baseline(tmp_path):
    write_tree(tmp_path, policy(0))
    path = "/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    found = CpufreqBackend(LinuxFS(tmp_path), baseline={path: "1400000"})
    assert found.space.default["max"] == 1_400_000
    assert found.effective()["max"] == 2_000_000


def test_tunables_in_use_are_read(tmp_path):
    found = backend(tmp_path, policy(0, scaling_governor="ondemand"), {f"{CPU}/cpufreq/ondemand/up_threshold": "71"})
    assert found.space["ondemand.up_threshold"].default == 71
    assert "ondemand.powersave_bias" not in found.space.names  # this kernel has none
    assert found.effective()["ondemand.up_threshold"] == 71


def test_a_knob_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="unknown knob 'epp'"):
        backend(tmp_path, policy(0)).target("epp")


@pytest.mark.shared
@pytest.mark.skipif(not TREES.is_dir(), reason="needs the captured machines beside the checkout")
@pytest.mark.parametrize("archive", sorted(TREES.glob("*.tar.gz")), ids=lambda path: path.name)
def test_captured_machines(archive):
    files = open_root(archive)
    policies = read_policies(files)
    related = [cpu for policy in policies for cpu in policy.related]
    assert len(related) == len(set(related))
    if policies:
        found = CpufreqBackend(files)
        space = found.space
        assert all(knob.legal(knob.default) for knob in space.knobs)
        assert all(when.knob in space.names for knob in space.knobs for when in knob.active_when)
        assert found.plan(space.default) == ()
        assert all(found.target(name).paths(files) for name in space.names)
