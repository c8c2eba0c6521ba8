"""What each driver couples, unlike clusters, old layouts, and CPUs that come and go."""

import errno

import pytest
from fake.driver import BoostRules, Driver, EppRules
from fake.epp import AMD
from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.kernel import FakeKernel
from fake.machines import MACHINES
from fake.policy import Policy
from sysfs_trees import CPU, policy, write_tree

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Setting
from hwtune.host.fs import LinuxFS
from hwtune.knobs import ownership
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.drivers import GENERIC, driver_named
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.policies import clusters, read_policies
from hwtune.knobs.reset import reset
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

CPUFREQ = f"/{CPU}/cpufreq"


def machine(name):
    kernel = MACHINES[name]()
    return kernel, InProcess(kernel)


def stay_at(files, run_dir):
    return Transaction(CpufreqBackend(files), run_dir=run_dir, verb="tune", files=files)


def test_every_machine_has_its_driver_in_the_table_or_takes_the_generic_line():
    names = {make().policies[0].driver.name for make in MACHINES.values()}
    known = {name for name in names if driver_named(name) is not GENERIC}
    assert names - known == {"vexpress-spc-cpufreq"}
    assert driver_named(None) is GENERIC


@pytest.mark.parametrize("name", MACHINES)
def test_every_knob_turned_at_once_goes_back(name, tmp_path):
    """Whichever driver: what the table says of it must explain everything that comes of our writes."""
    kernel, files = machine(name)
    start, requests = kernel.state(), kernel.requests()
    with stay_at(files, tmp_path) as stay:
        space = stay.backend.space
        for end in (0, -1):
            values = {k.name: (k.levels or (k.low, k.high))[end] for k in space.knobs if hasattr(k, "low")}
            words = {k.name: k.choices[end] for k in space.knobs if hasattr(k, "choices")}
            setting = Setting({**values, **words})
            for low, high in space.ordered_pairs:
                if "threshold" in low:
                    setting = setting | {low: 10, high: 90}
            applied = stay.apply(setting)
            assert {o.result for o in applied.outcomes} <= {"applied", "already", "clamped"}
    assert kernel.state() == start
    assert kernel.requests() == requests


def test_a_maximum_among_the_turbo_states_may_become_the_top(tmp_path):
    kernel, files = machine("intel_pstate_nohwp")
    start, requests = kernel.state(), kernel.requests()
    with stay_at(files, tmp_path) as stay:
        outcome = stay.apply(Setting(max=2_800_000)).outcomes[0]
        assert (outcome.result, outcome.effective) == ("clamped", "3400000")
    assert (kernel.state(), kernel.requests()) == (start, requests)


@pytest.mark.parametrize(
    ("name", "number", "key", "khz"),
    [("cppc_cpufreq", 0, "max", 1_000_000), ("cpufreq_dt_biglittle", 4, "policy4.max", 700_000)],
)
def test_a_maximum_that_boost_has_overwritten_unseen_is_ours(name, number, key, khz, tmp_path):
    kernel, files = machine(name)
    for each in kernel.policies:
        kernel.somebody(f"{CPUFREQ}/policy{each.number}/scaling_max_freq", "1400000")
    start = kernel.state()
    stay = stay_at(files, tmp_path)
    stay.__enter__()
    stay.apply(Setting({key: khz}))
    kernel.faults = [Fault(pattern="*/boost", action="kill_after")]
    with pytest.raises(Killed):
        stay.apply(Setting(boost="0"))
    stay._lock.release()
    kernel.faults = []
    assert int(kernel.read(f"{CPUFREQ}/policy{number}/scaling_max_freq")) > 2_000_000
    assert restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files).foreign == {}
    assert kernel.state() == start


def test_under_performance_amd_lists_one_word_and_hwtune_knows_the_rest(tmp_path):
    kernel, files = machine("amd_pstate_epp")
    for number in (0, 1):
        kernel.somebody(f"{CPUFREQ}/policy{number}/scaling_governor", "performance")
        listed = f"{CPUFREQ}/policy{number}/energy_performance_available_preferences"
        kernel.faults.append(Fault(pattern=listed, operation="read", times=None, text="performance\n"))
    backend = CpufreqBackend(files)
    assert backend.space["epp"].choices == ("performance", "balance_performance", "balance_power", "power")
    setting = parse_assignments(["governor=powersave", "epp=power"], backend)
    with Transaction(backend, run_dir=tmp_path, verb="apply", files=files) as stay:
        stay.apply(setting)
        assert files.read(f"{CPUFREQ}/policy1/energy_performance_preference") == "power"
    with pytest.raises(UsageError, match="epp cannot be '77'"):  # EINVAL there: it takes words only
        parse_assignments(["governor=powersave", "epp=77"], backend)


@pytest.mark.parametrize(
    ("name", "key", "hint"),
    [
        ("amd_pstate_passive", "epp", "amd_pstate=active"),
        ("intel_pstate_nohwp", "epp", "no HWP"),
        ("cppc_cpufreq", "epp", "has none"),
        ("no_table", "epp", "this machine has: governor"),
    ],
)
def test_what_to_do_about_a_knob_that_a_driver_never_has(name, key, hint):
    with pytest.raises(UsageError) as caught:
        parse_assignments([f"{key}=1"], CpufreqBackend(machine(name)[1]))
    assert hint in caught.value.hint


def test_a_slow_driver_may_be_given_performance_in_the_place_of_a_governor(tmp_path):
    write_tree(tmp_path, policy(0, scaling_driver="pcc-cpufreq") | policy(1))
    slow, fast = (f"{CPUFREQ}/policy{number}/scaling_governor" for number in (0, 1))
    files = LinuxFS(tmp_path)
    assert ownership.accepts(files, slow, "ondemand", "performance")
    assert not ownership.accepts(files, slow, "ondemand", "powersave")
    assert not ownership.accepts(files, fast, "ondemand", "performance")
    reset(files)
    assert (files.read(slow), files.read(fast)) == ("performance", "schedutil")


def test_perf_tells_kinds_of_cores_apart_that_frequency_does_not(tmp_path):
    """P cores of 5.2 GHz and E cores of 4.6 GHz are nearer to each other than some favoured cores are."""
    tops = {0: "5200000", 1: "5200000", 2: "4600000", 3: "4600000"}
    parts = [policy(n, cpuinfo_max_freq=top, scaling_max_freq=top) for n, top in tops.items()]
    write_tree(tmp_path, {path: text for part in parts for path, text in part.items()})
    assert len(clusters(read_policies(LinuxFS(tmp_path)))) == 1
    write_tree(tmp_path, {"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-3"})
    found = clusters(read_policies(LinuxFS(tmp_path)))
    assert [[p.number for p in cluster.policies] for cluster in found] == [[0, 1], [2, 3]]
    assert found[1].first.core == "cpu_atom"


def test_a_table_that_is_not_listed_is_in_the_statistics(tmp_path):
    counted = {f"{CPU}/cpufreq/policy0/stats/time_in_state": "2000000 12\n1400000 0\n800000 99"}
    files = {**policy(0), **counted}
    del files[f"{CPU}/cpufreq/policy0/scaling_available_frequencies"]
    write_tree(tmp_path, files)
    assert read_policies(LinuxFS(tmp_path))[0].available_khz == (800_000, 1_400_000, 2_000_000)


def four():
    """Four like CPUs, each with a policy of its own."""
    driver = Driver(name="acpi-cpufreq", bios_limit=True)
    policies = [
        Policy(number=n, cpus=(n,), low=800_000, nominal=3_600_000, top=3_600_000, driver=driver, governor="schedutil")
        for n in range(4)
    ]
    kernel = FakeKernel(driver, policies)
    return kernel, InProcess(kernel)


def maxima(kernel):
    return [kernel.read(f"{CPUFREQ}/policy{n}/scaling_max_freq").strip() for n in range(4) if n in kernel.online]


def test_a_cpu_that_was_offline_at_the_start_joins_its_like():
    kernel, files = four()
    kernel.somebody(f"{CPUFREQ}/policy3/scaling_max_freq", "3000000")
    kernel.hotplug(3, False)
    backend = CpufreqBackend(files)
    space = backend.space
    assert space["max"].scope == (0, 1, 2)
    assert len(backend.plan(Setting(governor="powersave"))) == 3
    kernel.hotplug(3, True)
    paths = [f"{CPUFREQ}/policy{n}/scaling_max_freq" for n in range(4)]
    assert [write.path for write in backend.plan(Setting(max=2_000_000)) if "max" in write.path] == paths
    # How it was found is known too, which is what is put back.
    assert backend.snapshot()[paths[3]] == "3000000"
    assert backend.space == space


def test_a_cpu_that_goes_takes_no_knob_with_it(tmp_path):
    kernel, files = four()
    start = kernel.state()
    with stay_at(files, tmp_path) as stay:
        stay.apply(Setting(max=2_000_000))
        kernel.hotplug(2, False)
        outcome = stay.apply(Setting(max=1_600_000)).outcomes[0]
        assert (outcome.result, maxima(kernel)) == ("applied", ["1600000"] * 3)
        kernel.hotplug(2, True)
        stay.apply(Setting(max=1_200_000))
        assert maxima(kernel) == ["1200000"] * 4
    assert kernel.state() == start


def test_a_whole_cluster_that_goes_is_waited_for(tmp_path):
    kernel, files = machine("cpufreq_dt_biglittle")
    start = kernel.state()
    with stay_at(files, tmp_path) as stay:
        stay.apply(Setting({"policy4.max": 700_000}))
        for cpu in range(4, 8):
            kernel.hotplug(cpu, False)
        applied = stay.apply(Setting({"policy0.max": 900_000, "policy4.max": 1_400_000}))
        assert applied.effective["policy0.max"] == 900_000
        assert "policy4.max" not in applied.effective
        for cpu in range(4, 8):
            kernel.hotplug(cpu, True)
        stay.apply(Setting({"policy4.max": 1_400_000}))
        assert files.read(f"{CPUFREQ}/policy4/scaling_max_freq") == "1400000"
    assert kernel.state() == start


def test_in_the_old_layout_a_directory_goes_with_its_cpu(tmp_path):
    kernel, files = machine("old_layout")
    start = kernel.state()
    with stay_at(files, tmp_path) as stay:
        stay.apply(Setting(max=2_000_000))
        kernel.hotplug(1, False)
        outcome = stay.apply(Setting(max=1_600_000)).outcomes[0]
        assert outcome.result == "applied"
        kernel.hotplug(1, True)
        stay.apply(Setting(max=1_200_000))
        assert files.read(f"/{CPU}/cpu1/cpufreq/scaling_max_freq") == "1200000"
    assert kernel.state() == start


def test_killed_with_a_cpu_off_and_restored_in_two_steps(tmp_path):
    kernel, files = four()
    start = kernel.state()
    stay = stay_at(files, tmp_path)
    stay.__enter__()
    stay.apply(Setting(max=2_000_000))
    stay._lock.release()
    kernel.hotplug(3, False)
    report = restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files)
    assert {path.split("/")[6] for path in report.offline} == {"policy3"}
    kernel.hotplug(3, True)
    restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files)
    assert kernel.state() == start


def test_a_number_that_amd_refuses_leaves_the_rest(tmp_path):
    """EINVAL of one attribute locks that knob and nothing else."""
    driver = Driver(
        name="amd-pstate-epp", governs_itself=True, boost=BoostRules(files=("policy",)), epp=EppRules(values=AMD)
    )
    policies = [
        Policy(number=0, cpus=(0,), low=550_000, nominal=3_800_000, top=4_900_000, driver=driver, governor="powersave")
    ]
    kernel = FakeKernel(driver, policies)
    start = kernel.state()
    files = InProcess(kernel)
    with stay_at(files, tmp_path) as stay:
        applied = stay.apply(Setting(epp="77", max=2_000_000))
        assert {o.knob: (o.result, o.errno) for o in applied.outcomes} == {
            "epp": ("rejected", errno.EINVAL),
            "max": ("applied", None),
        }
    assert kernel.state() == start
