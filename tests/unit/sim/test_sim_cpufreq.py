"""The simulated cpufreq files answer as Linux 6.1 does."""

import errno

import pytest

from hwtune.domain.errors import HostError, PermissionDenied, TransientError
from hwtune.sim.machine import SimulatedMachine

CPU = "/sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy0"


def files_of(machine, tmp_path):
    return SimulatedMachine(machine, workload="compute", seed=0, run_dir=tmp_path).host.files


@pytest.fixture
def server(tmp_path):
    return files_of("server", tmp_path)


@pytest.fixture
def laptop(tmp_path):
    return files_of("laptop", tmp_path)


@pytest.fixture
def board(tmp_path):
    return files_of("biglittle", tmp_path)


def limits(files, policy=POLICY):
    return int(files.read(f"{policy}/scaling_min_freq")), int(files.read(f"{policy}/scaling_max_freq"))


@pytest.mark.parametrize("text", ["foo", "0", " "])
def test_an_unknown_governor_is_einval_and_changes_nothing(server, text):
    with pytest.raises(HostError) as caught:
        server.write(f"{POLICY}/scaling_governor", text)
    assert caught.value.errno == errno.EINVAL
    assert server.read(f"{POLICY}/scaling_governor") == "performance"


@pytest.mark.parametrize("text", ["SchedUtil", "schedutil\n", "schedutil"])
def test_governor_names_are_case_insensitive_and_may_end_a_line(server, text):
    server.write(f"{POLICY}/scaling_governor", text)
    assert server.read(f"{POLICY}/scaling_governor") == "schedutil"


def test_writing_nothing_is_accepted(server):
    server.write(f"{POLICY}/scaling_governor", "")
    server.write(f"{POLICY}/scaling_max_freq", "")
    assert limits(server) == (1_200_000, 2_601_000)


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([("max", "2000000")], (1_200_000, 2_000_000)),
        ([("max", "2050000")], (1_200_000, 2_000_000)),  # down to a level
        ([("min", "1650000")], (1_700_000, 2_601_000)),  # up to a level
        ([("max", "700000")], (1_200_000, 1_200_000)),
        ([("min", "99999999")], (2_601_000, 2_601_000)),
        ([("max", "2000000"), ("min", "2400000")], (2_000_000, 2_000_000)),
        ([("max", "2000000"), ("min", "2400000"), ("max", "2601000")], (2_400_000, 2_601_000)),  # remembered
        ([("min", "1750000"), ("max", "1540000")], (1_600_000, 1_600_000)),  # no level between: the next one up
        ([("max", "2000000 junk")], (1_200_000, 2_000_000)),
        ([("max", "0x1E8480")], (1_200_000, 1_200_000)),  # read as 0
    ],
)
def test_limits_are_clamped_silently_and_requests_remembered(server, writes, expected):
    for name, text in writes:
        server.write(f"{POLICY}/scaling_{name}_freq", text)
    assert limits(server) == expected


@pytest.mark.parametrize("text", ["xyz", "-1"])
def test_what_is_no_number_is_einval(server, text):
    with pytest.raises(HostError) as caught:
        server.write(f"{POLICY}/scaling_max_freq", text)
    assert caught.value.errno == errno.EINVAL
    assert limits(server) == (1_200_000, 2_601_000)


def test_setspeed_only_under_userspace_rounds_up(server):
    speed = f"{POLICY}/scaling_setspeed"
    assert server.read(speed) == "<unsupported>"
    with pytest.raises(HostError) as caught:
        server.write(speed, "1600000")
    assert caught.value.errno == errno.EINVAL
    server.write(f"{POLICY}/scaling_governor", "userspace")
    for text, expected in (("1650000", "1700000"), ("9999999", "2601000"), ("1", "1200000")):
        server.write(speed, text)
        assert server.read(speed) == expected


def test_tunables_live_while_their_governor_is_used_and_lose_their_values(server):
    up = f"{CPU}/cpufreq/ondemand/up_threshold"
    assert server.read(up) is None
    with pytest.raises(HostError) as caught:
        server.write(up, "80")
    assert caught.value.errno == errno.ENOENT
    for policy in ("policy0", "policy3"):
        server.write(f"{CPU}/cpufreq/{policy}/scaling_governor", "ondemand")
    server.write(up, "70")
    server.write(f"{POLICY}/scaling_governor", "performance")
    assert server.read(up) == "70"
    server.write(f"{CPU}/cpufreq/policy3/scaling_governor", "performance")
    assert server.glob(f"{CPU}/cpufreq/ondemand/*") == ()
    server.write(f"{POLICY}/scaling_governor", "ondemand")
    assert server.read(up) == "95"


@pytest.mark.parametrize(
    ("name", "text"),
    [("up_threshold", "101"), ("up_threshold", "0"), ("up_threshold", "x"), ("sampling_rate", "1")],
)
def test_tunables_refuse_what_is_out_of_range(server, name, text):
    server.write(f"{POLICY}/scaling_governor", "ondemand")
    with pytest.raises(HostError) as caught:
        server.write(f"{CPU}/cpufreq/ondemand/{name}", text)
    assert caught.value.errno == errno.EINVAL


def test_powersave_bias_is_clamped_and_thresholds_must_not_cross(server):
    server.write(f"{POLICY}/scaling_governor", "ondemand")
    server.write(f"{CPU}/cpufreq/ondemand/powersave_bias", "1001")
    assert server.read(f"{CPU}/cpufreq/ondemand/powersave_bias") == "1000"
    server.write(f"{POLICY}/scaling_governor", "conservative")
    with pytest.raises(HostError):
        server.write(f"{CPU}/cpufreq/conservative/down_threshold", "80")


def test_tunables_of_the_board_are_per_policy(board):
    assert board.read(f"{POLICY}/schedutil/rate_limit_us") == "10000"
    board.write(f"{POLICY}/schedutil/rate_limit_us", "500")
    assert board.read(f"{CPU}/cpufreq/policy4/schedutil/rate_limit_us") == "10000"


def test_epp_is_locked_under_performance_and_comes_back(laptop):
    epp = f"{POLICY}/energy_performance_preference"
    laptop.write(epp, "balance_power")
    laptop.write(f"{POLICY}/scaling_governor", "performance")
    assert laptop.read(epp) == "performance"
    with pytest.raises(TransientError) as caught:
        laptop.write(epp, "power")
    assert caught.value.errno == errno.EBUSY
    laptop.write(epp, "performance")
    laptop.write(f"{POLICY}/scaling_governor", "powersave")
    assert laptop.read(epp) == "balance_power"


def test_epp_takes_words_and_numbers(laptop):
    epp = f"{POLICY}/energy_performance_preference"
    for text, expected in (("77", "77"), ("192", "balance_power"), ("default", "balance_performance")):
        laptop.write(epp, text)
        assert laptop.read(epp) == expected
    for text in ("fast", "256"):
        with pytest.raises(HostError) as caught:
            laptop.write(epp, text)
        assert caught.value.errno == errno.EINVAL


def test_no_turbo_moves_the_limit_and_remembers_the_request(laptop):
    no_turbo = f"{CPU}/intel_pstate/no_turbo"
    laptop.write(f"{POLICY}/scaling_max_freq", "3000000")
    laptop.write(no_turbo, "1")
    assert limits(laptop) == (400_000, 1_800_000)
    laptop.write(no_turbo, "0")
    assert limits(laptop) == (400_000, 3_000_000)


def test_boost_of_acpi_cpufreq_moves_no_limit(server):
    server.write(f"{CPU}/cpufreq/boost", "0")
    assert limits(server) == (1_200_000, 2_601_000)
    with pytest.raises(HostError):
        server.write(f"{CPU}/cpufreq/boost", "2")


def test_boost_of_a_table_with_boost_levels_overwrites_the_requested_maximum(board):
    big = f"{CPU}/cpufreq/policy4"
    assert "2400000" not in board.read(f"{big}/scaling_available_frequencies")
    assert board.read(f"{big}/scaling_boost_frequencies").split()[-1] == "2400000"
    board.write(f"{big}/scaling_max_freq", "2016000")
    board.write(f"{CPU}/cpufreq/boost", "0")
    assert limits(board, big) == (408_000, 1_608_000)
    assert board.read(f"{big}/cpuinfo_max_freq") == "1608000"
    board.write(f"{CPU}/cpufreq/boost", "1")
    assert limits(board, big) == (408_000, 2_400_000)


def test_what_can_only_be_read_is_eacces_and_what_is_absent_enoent(server):
    with pytest.raises(PermissionDenied) as denied:
        server.write(f"{POLICY}/cpuinfo_max_freq", "1")
    assert denied.value.errno == errno.EACCES
    with pytest.raises(HostError) as absent:
        server.write(f"{POLICY}/energy_performance_preference", "power")
    assert absent.value.errno == errno.ENOENT
    assert server.writable(f"{POLICY}/scaling_max_freq")
    assert not server.writable(f"{POLICY}/cpuinfo_max_freq")


def test_policies_are_found_and_reached_through_their_cpus(server, board):
    assert len(server.glob(f"{CPU}/cpufreq/policy*")) == 16
    assert server.glob(f"{CPU}/cpufreq/policy*")[-1].endswith("policy15")
    board.write(f"{CPU}/cpu2/cpufreq/scaling_max_freq", "1200000")
    assert board.read(f"{POLICY}/scaling_max_freq") == "1200000"
    assert board.read(f"{CPU}/cpu4/cpufreq/affected_cpus") == "4 5 6 7"
    assert [board.read(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in (0, 4)] == ["430", "1024"]


def test_a_virtual_machine_has_nothing(tmp_path):
    files = files_of("vm", tmp_path)
    for pattern in (f"{CPU}/cpufreq/*", "/sys/class/powercap/*", "/sys/class/hwmon/*", "/sys/class/thermal/*"):
        assert files.glob(pattern) == ()
    assert files.read("/proc/stat").startswith("cpu ")
    assert files.read("/proc/pressure/cpu").startswith("some avg10=")
