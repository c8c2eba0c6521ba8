"""What drivers other than the rig's do, by their sources: the fake kernel against what is documented of each."""

from __future__ import annotations

import errno

import pytest
from fake import machines
from fake.driver import BoostRules, Driver
from fake.faults import Fault, Killed, Moment
from fake.host import InProcess
from fake.kernel import FakeKernel
from fake.policy import Policy
from semantics import CPU, CPUFREQ, P0, P1, refused

from hwtune.domain.errors import HostError, PermissionDenied, TransientError

NO_TURBO = f"{CPU}/intel_pstate/no_turbo"
PACKAGE = "/sys/class/powercap/intel-rapl:0"


def value(kernel: FakeKernel, path: str) -> str:
    return kernel.read(path).removesuffix("\n")


def epp(kernel: FakeKernel, policy: str = P0) -> str:
    return value(kernel, f"{policy}/energy_performance_preference")


def set_epp(kernel: FakeKernel, text: str, policy: str = P0) -> None:
    kernel.write(f"{policy}/energy_performance_preference", text)


def top(kernel: FakeKernel, policy: str = P0) -> tuple[int, int]:
    """Maximum in force and of the hardware, in MHz."""
    return int(value(kernel, f"{policy}/scaling_max_freq")) // 1000, int(
        value(kernel, f"{policy}/cpuinfo_max_freq")
    ) // 1000


@pytest.mark.parametrize("name", machines.MACHINES)
def test_every_machine_is_whole(name: str) -> None:
    """Every file has a text or a reason, everything writable takes its own text back, and a reboot undoes all."""
    kernel = machines.MACHINES[name]()
    start = kernel.state()
    assert start
    for path in kernel.paths():
        assert kernel.read(path).endswith("\n")
    for path, text in start.items():
        if "unsupported" not in text and not ("rapl" in path and "nohwp" in name):
            kernel.write(path, text)
    assert kernel.state() == start
    governors = [path for path in start if path.endswith("scaling_governor")]
    for path in governors:
        kernel.write(path, "performance")
        lowest = kernel.read(path.replace("scaling_governor", "cpuinfo_min_freq"))
        kernel.write(path.replace("governor", "max_freq"), lowest)
    assert kernel.state() != start
    boot = value(kernel, "/proc/sys/kernel/random/boot_id")
    kernel.reboot()
    assert kernel.state() == start
    assert value(kernel, "/proc/sys/kernel/random/boot_id") != boot


def test_intel_epp_is_locked_under_performance_and_comes_back() -> None:
    kernel = machines.intel_pstate_hwp()
    set_epp(kernel, "balance_power")
    kernel.write(f"{P0}/scaling_governor", "performance")
    assert (epp(kernel), epp(kernel, P1)) == ("performance", "balance_performance")
    refused(lambda: set_epp(kernel, "power"), errno.EBUSY)
    set_epp(kernel, "performance")
    kernel.write(f"{P0}/scaling_governor", "powersave")
    assert epp(kernel) == "balance_power"


def test_intel_epp_takes_numbers_and_says_words_for_some() -> None:
    kernel = machines.intel_pstate_hwp()
    for text, shown in (("70", "70"), ("192", "balance_power"), ("default", "balance_performance"), ("255", "power")):
        set_epp(kernel, text)
        assert epp(kernel) == shown
    for text in ("256", "balanced", "-1", ""):
        if text:
            refused(lambda text=text: set_epp(kernel, text), errno.EINVAL)
    assert epp(kernel) == "power"


def test_intel_epp_in_passive_mode_is_never_locked() -> None:
    kernel = machines.intel_cpufreq()
    kernel.write(f"{P0}/scaling_governor", "performance")
    set_epp(kernel, "power")
    assert epp(kernel) == "power"


def test_amd_epp_forgets_under_performance_and_takes_no_numbers() -> None:
    kernel = machines.amd_pstate_epp()
    set_epp(kernel, "power")
    refused(lambda: set_epp(kernel, "128"), errno.EINVAL)
    kernel.write(f"{P0}/scaling_governor", "performance")
    refused(lambda: set_epp(kernel, "power"), errno.EBUSY)
    assert value(kernel, f"{P0}/energy_performance_available_preferences") == "performance"
    kernel.write(f"{P0}/scaling_governor", "powersave")
    assert epp(kernel) == "performance"
    assert "balance_power" in value(kernel, f"{P0}/energy_performance_available_preferences")
    # A value that firmware has set, and that no word means.
    epp_of_policy = kernel.policies[0].epp
    assert epp_of_policy is not None
    epp_of_policy.value = 77
    refused(lambda: epp(kernel), errno.EINVAL)


def test_no_turbo_cuts_limits_while_it_lasts() -> None:
    for make, hardware in ((machines.intel_pstate_hwp, 2600), (machines.intel_cpufreq, 4800)):
        kernel = make()
        before = top(kernel)
        kernel.write(NO_TURBO, "1")
        nominal = kernel.policies[0].nominal // 1000
        assert top(kernel) == (nominal, hardware)
        kernel.write(NO_TURBO, "0")
        assert top(kernel) == before


def test_no_turbo_squashes_the_minimum_and_takes_any_number() -> None:
    kernel = machines.intel_pstate_hwp()
    kernel.write(NO_TURBO, "7")
    assert value(kernel, NO_TURBO) == "1"
    assert value(kernel, f"{CPU}/intel_pstate/min_perf_pct") == "61"
    kernel.write(NO_TURBO, "0")
    assert value(kernel, f"{CPU}/intel_pstate/min_perf_pct") == "61"
    refused(lambda: kernel.write(NO_TURBO, "no"), errno.EINVAL)


def test_turbo_that_firmware_has_disabled() -> None:
    rules = BoostRules(files=("no_turbo",), clamps=True, locked=True)
    driver = Driver(name="intel_pstate", governs_itself=True, boost=rules, status="active")
    policy = Policy(
        number=0, cpus=(0,), low=800_000, nominal=2_400_000, top=3_400_000, driver=driver, governor="powersave"
    )
    kernel = FakeKernel(driver, [policy])
    assert (value(kernel, NO_TURBO), top(kernel)[0]) == ("1", 2400)
    refused(lambda: kernel.write(NO_TURBO, "0"), errno.EPERM)


def test_percentages_keep_each_other_in_order() -> None:
    kernel = machines.intel_pstate_nohwp()
    pct = f"{CPU}/intel_pstate"
    for name, text, becomes in (("max", "40", "40"), ("min", "90", "40"), ("max", "20", "40"), ("min", "1", "23")):
        kernel.write(f"{pct}/{name}_perf_pct", text)
        assert value(kernel, f"{pct}/{name}_perf_pct") == becomes
    assert top(kernel) == (3400, 3400)


def test_percentages_hold_limits_in_passive_mode() -> None:
    kernel = machines.intel_cpufreq()
    kernel.write(f"{CPU}/intel_pstate/max_perf_pct", "50")
    assert top(kernel) == (2400, 4800)
    kernel.write(f"{P0}/scaling_max_freq", "4000000")
    assert top(kernel) == (2400, 4800)
    kernel.write(f"{CPU}/intel_pstate/max_perf_pct", "100")
    assert top(kernel) == (4000, 4800)


def test_a_maximum_in_the_turbo_range_becomes_the_top_without_hwp() -> None:
    kernel = machines.intel_pstate_nohwp()
    for khz, becomes in ((3_000_000, 3400), (2_400_000, 2400), (2_000_000, 2000)):
        kernel.write(f"{P0}/scaling_max_freq", str(khz))
        assert top(kernel)[0] == becomes


@pytest.mark.parametrize("make", [machines.cppc_cpufreq, machines.cpufreq_dt_biglittle])
def test_boost_that_rebases_the_request(make: type[FakeKernel]) -> None:
    kernel = make()
    last = f"{CPUFREQ}/policy{kernel.policies[-1].number}"
    nominal, high = kernel.policies[-1].nominal // 1000, kernel.policies[-1].top // 1000
    kernel.write(f"{last}/scaling_max_freq", str(kernel.policies[-1].low))
    kernel.write(f"{CPUFREQ}/boost", "1")  # it stands so: nothing happens
    assert top(kernel, last) == (kernel.policies[-1].low // 1000, high)
    kernel.write(f"{CPUFREQ}/boost", "0")
    assert top(kernel, last) == (nominal, nominal)
    kernel.write(f"{CPUFREQ}/boost", "1")
    assert top(kernel, last) == (high, high)


def test_boost_of_amd_cuts_and_gives_back() -> None:
    kernel = machines.amd_pstate_epp()
    kernel.write(f"{P0}/scaling_max_freq", "4500000")
    kernel.write(f"{P0}/boost", "0")
    assert (top(kernel), top(kernel, P1)) == ((3800, 3800), (4900, 4900))
    kernel.write(f"{P0}/boost", "yes")
    assert top(kernel) == (4500, 4900)
    kernel.write(f"{CPUFREQ}/boost", "0")
    assert value(kernel, f"{P1}/boost") == "0"
    refused(lambda: kernel.write(f"{P0}/boost", "1"), errno.EINVAL)
    for text in ("2", "x"):
        refused(lambda text=text: kernel.write(f"{CPUFREQ}/boost", text), errno.EINVAL)


def test_boost_of_acpi_cpufreq_moves_nothing() -> None:
    kernel = machines.acpi_cpufreq()
    kernel.write(f"{P0}/scaling_max_freq", "3200000")
    kernel.write(f"{CPUFREQ}/boost", "0")
    assert top(kernel) == (3200, 3600)


def test_tunables_of_each_policy() -> None:
    kernel = machines.cpufreq_dt_biglittle()
    path = f"{P0}/ondemand/up_threshold"
    kernel.write(path, "71")
    assert kernel.mode(f"{CPUFREQ}/ondemand/up_threshold") == 0
    kernel.write(f"{CPUFREQ}/policy4/scaling_governor", "ondemand")
    assert value(kernel, f"{CPUFREQ}/policy4/ondemand/up_threshold") == "95"
    for cpu in (1, 2, 3):
        kernel.hotplug(cpu, False)
    assert (value(kernel, path), value(kernel, f"{P0}/affected_cpus")) == ("71", "0")
    assert value(kernel, f"{P0}/related_cpus") == "0 1 2 3"


def test_the_old_layout() -> None:
    kernel = machines.old_layout()
    here = f"{CPU}/cpu1/cpufreq"
    assert "cpufreq" not in kernel.listdir(f"{CPU}") or "policy0" not in kernel.listdir(CPUFREQ)
    kernel.write(f"{here}/scaling_max_freq", "2000000")
    refused(lambda: kernel.write(f"{here}/scaling_min_freq", "2400000"), errno.EINVAL)
    kernel.write(f"{here}/scaling_min_freq", "2000000")
    refused(lambda: kernel.write(f"{here}/scaling_max_freq", "1600000"), errno.EINVAL)
    kernel.hotplug(1, False)
    refused(lambda: kernel.read(f"{here}/scaling_max_freq"), errno.ENOENT)
    kernel.hotplug(1, True)
    assert value(kernel, f"{here}/scaling_max_freq") == "3600000"


def test_suspend_loses_what_the_firmware_loses() -> None:
    kernel = machines.hybrid()
    limit = f"{PACKAGE}/constraint_0_power_limit_uw"
    kernel.write(f"{P0}/scaling_max_freq", "2000000")
    set_epp(kernel, "power")
    kernel.write(limit, "20000000")
    kernel.suspend()
    assert (top(kernel)[0], epp(kernel), value(kernel, limit)) == (2000, "balance_performance", "65000000")


def test_suspend_takes_the_tunables_of_other_cpus() -> None:
    kernel = machines.cppc_cpufreq()
    for policy in (P0, P1):
        kernel.write(f"{policy}/ondemand/up_threshold", "60")
    kernel.suspend()
    assert [value(kernel, f"{policy}/ondemand/up_threshold") for policy in (P0, P1)] == ["60", "95"]


def test_a_firmware_that_ignores_an_accepted_limit() -> None:
    kernel = machines.intel_pstate_hwp()
    kernel.ignore_limits = True
    kernel.write(f"{P0}/scaling_max_freq", "1000000")
    assert top(kernel)[0] == 1000
    assert value(kernel, f"{P0}/scaling_cur_freq") == "4200000"
    kernel.ignore_limits = False
    assert value(kernel, f"{P0}/scaling_cur_freq") == "1000000"


def test_a_firmware_limit_without_bios_limit_is_a_cooling_device() -> None:
    kernel = machines.amd_pstate_passive()
    kernel.firmware_limit(2_000_000)
    assert (top(kernel), kernel.mode(f"{P0}/bios_limit")) == ((2000, 4900), 0)
    assert value(kernel, "/sys/class/thermal/cooling_device0/cur_state") == "1"
    kernel.firmware_limit(None)
    assert top(kernel) == (4900, 4900)
    assert value(kernel, "/sys/class/thermal/cooling_device0/cur_state") == "0"


def test_power_limits_are_rounded_or_locked() -> None:
    kernel, locked = machines.intel_pstate_hwp(), machines.intel_pstate_nohwp()
    path = f"{PACKAGE}/constraint_0_power_limit_uw"
    kernel.write(path, "15200000")
    assert value(kernel, path) == "15125000"
    window = f"{PACKAGE}/constraint_0_time_window_us"
    kernel.write(window, value(kernel, window))
    kernel.write(window, "1000000")
    assert 750_000 < int(value(kernel, window)) <= 1_000_000
    refused(lambda: kernel.write(path, "15W"), errno.EINVAL)
    refused(lambda: locked.write(path, "15000000"), errno.ENODATA)
    refused(lambda: locked.write(f"{PACKAGE}/enabled", "0"), errno.ENOSYS)
    assert (value(kernel, f"{PACKAGE}/enabled"), value(locked, f"{PACKAGE}/enabled")) == ("1", "0")


def test_energy_counts_what_the_frequency_costs() -> None:
    kernel = machines.intel_pstate_hwp()
    now = [0.0]
    kernel.clock = lambda: now[0]

    def joules() -> float:
        before = int(value(kernel, f"{PACKAGE}/energy_uj"))
        now[0] += 10
        return (int(value(kernel, f"{PACKAGE}/energy_uj")) - before) / 1e6

    assert joules() == pytest.approx(300)
    for policy in kernel.policies:
        kernel.write(f"{kernel.directory(policy)}/scaling_max_freq", "2100000")
    assert joules() == pytest.approx(10 * (3 + 27 / 4))
    refused(lambda: kernel.write(f"{PACKAGE}/energy_uj", "0"), errno.EACCES)


def test_uncore_idle_states_and_latency() -> None:
    kernel = machines.intel_pstate_hwp()
    uncore = f"{CPU}/intel_uncore_frequency/package_00_die_00"
    kernel.write(f"{uncore}/max_freq_khz", "2450000")
    assert value(kernel, f"{uncore}/max_freq_khz") == "2400000"
    refused(lambda: kernel.write(f"{uncore}/max_freq_khz", "99999"), errno.EINVAL)
    disable = f"{CPU}/cpu1/cpuidle/state2/disable"
    kernel.write(disable, "0x4")
    assert value(kernel, disable) == "1"
    latency = f"{CPU}/cpu1/power/pm_qos_resume_latency_us"
    for text, shown in (("20", "20"), ("n/a\n", "n/a"), ("0", "0")):
        kernel.write(latency, text)
        assert value(kernel, latency) == shown
    for text in ("-1", "2147483647", "none"):
        refused(lambda text=text: kernel.write(latency, text), errno.EINVAL)


def test_faults_strike_when_they_are_due() -> None:
    kernel = machines.acpi_cpufreq()
    path = f"{P0}/scaling_max_freq"
    kernel.faults = [
        Fault(pattern="*_max_freq", skip=1, times=2, errno=errno.ENOSPC),
        Fault(pattern=f"{P0}/*", operation="read", errno=errno.EAGAIN),
        Fault(pattern=f"{P1}/*", operation="read", text="garbage"),
    ]
    kernel.write(path, "2000000")
    for _ in range(2):
        refused(lambda: kernel.write(path, "1200000"), errno.ENOSPC)
    refused(lambda: kernel.read(path), errno.EAGAIN)
    assert value(kernel, path) == "2000000"
    assert kernel.read(f"{P1}/scaling_max_freq") == "garbage"
    kernel.write(path, "1600000")
    assert [fault.met for fault in kernel.faults] == [2, 1, 1]
    assert kernel.log[1] == ("write", path, "1200000", errno.ENOSPC)


def test_a_moment_in_the_middle_and_somebody_else() -> None:
    kernel = machines.acpi_cpufreq()
    kernel.faults = [
        Fault(pattern="*/policy1/*", action=Moment("hotplug", (1, False))),
        Fault(pattern="*/policy0/*", action=Moment("somebody", (f"{P0}/scaling_min_freq", "1200000"))),
    ]
    refused(lambda: kernel.write(f"{P1}/scaling_governor", "ondemand"), errno.EBUSY)
    kernel.write(f"{P0}/scaling_governor", "ondemand")
    assert value(kernel, f"{P0}/scaling_min_freq") == "1200000"
    assert [entry[1:] for entry in kernel.log if entry[0] == "write"] == [
        (f"{P1}/scaling_governor", "ondemand", errno.EBUSY),
        (f"{P0}/scaling_governor", "ondemand", None),
    ]


@pytest.mark.parametrize(("action", "khz"), [("kill_before", "3600000"), ("kill_after", "2000000")])
def test_kills_around_a_write(action: str, khz: str) -> None:
    kernel = machines.acpi_cpufreq()
    kernel.faults = [Fault(pattern="*_max_freq", action=action)]
    with pytest.raises(Killed):
        InProcess(kernel).write(f"{P0}/scaling_max_freq", "2000000")
    assert value(kernel, f"{P0}/scaling_max_freq") == khz


def test_the_errors_of_a_host() -> None:
    kernel = machines.acpi_cpufreq()
    host = InProcess(kernel)
    assert host.read(f"{P0}/energy_performance_preference") is None
    for code, kind in ((errno.EBUSY, TransientError), (errno.EPERM, PermissionDenied), (errno.EIO, HostError)):
        kernel.faults = [Fault(errno=code)]
        with pytest.raises(kind) as caught:
            host.write(f"{P0}/scaling_governor", "powersave")
        assert caught.value.errno == code
    assert host.glob(f"{CPU}/cpu[0-9]*/cpufreq/scaling_driver") == (
        f"{CPU}/cpu0/cpufreq/scaling_driver",
        f"{CPU}/cpu1/cpufreq/scaling_driver",
    )
    host.write(f"{CPU}/cpu1/cpufreq/scaling_max_freq", "2000000")
    assert host.read(f"{P1}/scaling_max_freq") == "2000000"


def test_other_permissions() -> None:
    kernel = machines.acpi_cpufreq()
    kernel.chmod(f"{P0}/scaling_governor", 0o444)
    refused(lambda: kernel.write(f"{P0}/scaling_governor", "powersave"), errno.EACCES)
    kernel.chmod(f"{P0}/scaling_governor", 0o664)
    kernel.write(f"{P0}/scaling_governor", "powersave")


def test_cpus_that_cannot_go() -> None:
    kernel = machines.acpi_cpufreq()
    kernel.hotplug(1, False)
    refused(lambda: kernel.hotplug(0, False), errno.EBUSY)
    refused(lambda: kernel.hotplug(9, True), errno.ENODEV)
    assert (value(kernel, f"{CPU}/online"), value(kernel, f"{CPU}/offline")) == ("0", "1")
