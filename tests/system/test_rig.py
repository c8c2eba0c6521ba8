"""The rig itself: a real kernel whose P-states matter, and nothing left when it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rig.calls import CPUFREQ
from rig.chip import IDLE_MW, METER_MODEL, METER_OEM, PSTATES
from rig.errors import RigTimeout
from rig.machine import CHECKOUT, Rig

pytestmark = pytest.mark.rig

METER = "/sys/class/hwmon/hwmon*/device/power1_*"
LOOP = """import time
start, x = time.perf_counter(), 1
for _ in range({steps}):
    x = (x * 5 + 1) & 0xFFFF
print(time.perf_counter() - start)
"""


def set_max_mhz(rig: Rig, mhz: int) -> None:
    for policy in ("policy0", "policy1"):
        rig.write(f"{CPUFREQ}/{policy}/scaling_max_freq", str(mhz * 1000))
    time.sleep(0.1)


def loop_cost(rig: Rig, mhz: int, steps: int) -> tuple[float, float]:
    """Seconds in the guest and joules of the silicon for a fixed loop, Python's start included in the joules."""
    set_max_mhz(rig, mhz)
    before = rig.energy_j()
    result = rig.run(["python", "-I", "-S", "-c", LOOP.format(steps=steps)]).check()
    return float(result.stdout), rig.energy_j() - before


def cheapest(rig: Rig, levels: tuple[int, ...], steps: int, rounds: int) -> dict[int, tuple[float, float]]:
    """The least seconds and the least joules of the loop at each clock in MHz, of interleaved runs.

    A busy host only ever adds to a loop's cost, so the least of a few runs is nearest to the machine's own.
    """
    costs: dict[int, list[tuple[float, float]]] = {mhz: [] for mhz in levels}
    for _ in range(rounds):
        for mhz in levels:
            costs[mhz].append(loop_cost(rig, mhz, steps))
    return {mhz: (min(s for s, _ in runs), min(j for _, j in runs)) for mhz, runs in costs.items()}


def wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.2)


def remains() -> list[str]:
    """Processes, cgroups and files of any rig of this host."""
    found = [str(path) for path in Path("/sys/fs/cgroup").glob("**/hwtune-rig-*")]
    found += [str(path) for folder in ("/tmp", "/dev/shm", "/run") for path in Path(folder).glob("hwtune-rig*")]
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hwtune-rig,debug-threads=on" in words or b"rig.helper" in words:
            found.append(line.parent.name + " " + words[0].decode())
    return found


class TestMachine:
    def test_live_acpi_cpufreq(self, rig: Rig) -> None:
        for cpu in (0, 1):
            policy = f"{CPUFREQ}/policy{cpu}"
            assert rig.read(f"{policy}/scaling_driver") == "acpi-cpufreq\n"
            assert rig.read(f"{policy}/related_cpus").split() == [str(cpu)]
            governors = set(rig.read(f"{policy}/scaling_available_governors").split())
            assert governors == {"ondemand", "conservative", "powersave", "userspace", "performance", "schedutil"}
            rows = rig.read(f"{policy}/stats/time_in_state").splitlines()
            assert [int(row.split()[0]) for row in rows] == [p.mhz * 1000 for p in PSTATES]

    def test_boots_well_under_a_minute(self, rig: Rig) -> None:
        assert rig.boot_s < 45

    def test_meter_says_that_it_is_emulated(self, rig: Rig) -> None:
        meter = {Path(path).name: text.strip() for path, text in rig.snapshot(METER).items()}
        assert meter["power1_model_number"] == METER_MODEL
        assert meter["power1_oem_info"] == METER_OEM
        assert meter["power1_average_interval"] == "100"
        assert "power1_cap" not in meter
        assert 0.9e3 * IDLE_MW <= int(meter["power1_average"]) < 40e6

    def test_battery_thermal_zone_and_pressure(self, rig: Rig) -> None:
        battery = rig.read("/sys/class/power_supply/BAT0/uevent")
        assert "POWER_SUPPLY_STATUS=Discharging" in battery
        assert f"POWER_SUPPLY_MANUFACTURER={METER_OEM}" in battery
        assert 30_000 < int(rig.read("/sys/class/thermal/thermal_zone0/temp")) < 90_000
        assert rig.read("/proc/pressure/cpu").startswith("some avg10=")

    def test_clock_of_the_guest_runs_true(self, rig: Rig) -> None:
        def uptime() -> tuple[float, float, float]:
            """The host's clock before, the guest's, the host's after: an answer may be slow, the clock may not."""
            before = time.monotonic()
            guest = float(rig.read("/proc/uptime").split()[0])
            return before, guest, time.monotonic()

        start = uptime()
        time.sleep(5)
        end = uptime()
        assert 0.97 * (end[0] - start[2]) < end[1] - start[1] < 1.03 * (end[2] - start[0])


class TestCommands:
    def test_status_and_streams(self, rig: Rig) -> None:
        result = rig.run(["sh", "-c", "cat; echo bad >&2; exit 7"], stdin="good\n")
        assert (result.returncode, result.stdout, result.stderr) == (7, "good\n", "bad\n")

    def test_much_output_arrives_whole(self, rig: Rig) -> None:
        assert rig.run(["seq", "60000"]).stdout == "".join(f"{i}\n" for i in range(1, 60001))

    def test_environment(self, rig: Rig, tmp_path: Path) -> None:
        (tmp_path / "here").write_text("seen")
        script = "import sys, os; print(sys.executable, os.getcwd(), os.environ['X'], open('here').read(), os.getuid())"
        words = rig.run(["python", "-c", script], cwd=tmp_path, env={"X": "y"}).check().stdout.split()
        # the interpreter's own folder comes first on PATH, so `python` is the one that runs this test
        assert Path(words[0]).parent == Path(sys.executable).parent
        assert words[1:] == [str(tmp_path), "y", "seen", "0"]
        assert rig.env["LANG"] == "C.UTF-8"

    def test_host_files_cannot_be_changed(self, rig: Rig, tmp_path: Path) -> None:
        rig.write(str(tmp_path / "new"), "only in the guest")
        assert rig.read(str(tmp_path / "new")) == "only in the guest"
        assert not (tmp_path / "new").exists()

    def test_unknown_program(self, rig: Rig) -> None:
        with pytest.raises(FileNotFoundError):
            rig.run(["no-such-program"])

    def test_timeout_kills(self, rig: Rig) -> None:
        with pytest.raises(RigTimeout):
            rig.run(["sleep", "1234"], timeout_s=1)
        assert rig.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 123[4]'"]).stdout == "0\n"

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_signal_ends_a_background_command(self, rig: Rig, number: signal.Signals) -> None:
        job = rig.start(["sleep", "1000"])
        assert job.poll() is None
        assert job.send_signal(number)
        assert job.wait(20).returncode == -number
        assert not job.send_signal(number)

    def test_output_of_a_running_command(self, rig: Rig) -> None:
        job = rig.start(["sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.2; done"])
        wait_until(lambda: "ready" in job.stdout)
        job.send_signal(signal.SIGINT, group=True)
        assert job.wait(20).returncode == 5
        assert job.stdout.split() == ["ready", "caught"]


class TestPStates:
    def test_governor_write_is_real(self, rig: Rig) -> None:
        rig.write(f"{CPUFREQ}/policy0/scaling_governor", "powersave")
        assert rig.read(f"{CPUFREQ}/policy0/scaling_cur_freq") == "800000\n"
        assert rig.read(f"{CPUFREQ}/policy1/scaling_governor") == "schedutil\n"
        with pytest.raises(OSError, match="Invalid argument"):
            rig.write(f"{CPUFREQ}/policy0/scaling_governor", "no-such-governor")

    def test_clock_changes_time_and_power_and_energy_has_its_minimum_inside(self, rig: Rig) -> None:
        # Runs of half a second and more: in shorter ones it is by chance where the host holds a vCPU back.
        cost = cheapest(rig, (3600, 2000, 1200), 400_000, rounds=3)
        (fast_s, fast_j), (_, middle_j), (slow_s, slow_j) = cost.values()
        assert 2.0 < slow_s / fast_s < 5.0  # 3 by the clock; short shares of a host core lose more to cold caches
        assert fast_j / fast_s > 1.5 * slow_j / slow_s
        assert middle_j < 0.95 * fast_j
        assert middle_j < 0.95 * loop_cost(rig, 800, 400_000)[1]  # far enough off for one run

    def test_meter_follows_the_load(self, rig: Rig) -> None:
        path = next(iter(rig.snapshot(METER.replace("*", "[0-9]", 1).replace("power1_*", "power1_average"))))
        for governor in ("performance", "powersave"):
            rig.write(f"{CPUFREQ}/policy0/scaling_governor", governor)
            rig.write(f"{CPUFREQ}/policy1/scaling_governor", governor)
            job = rig.start(["sh", "-c", "while :; do :; done"])
            time.sleep(0.5)
            samples = []
            for _ in range(20):
                samples.append(int(rig.read(path)) / 1e6)
                time.sleep(0.1)
            job.send_signal(signal.SIGKILL)
            job.wait(20)
            expected = (IDLE_MW + PSTATES[0 if governor == "performance" else -1].busy_mw) / 1e3
            assert sorted(samples)[len(samples) // 2] == pytest.approx(expected, rel=0.25)

    def test_firmware_limit_and_adapter(self, rig: Rig) -> None:
        policy = f"{CPUFREQ}/policy0"
        rig.set_highest_pstate(3)
        rig.set_ac(True)
        wait_until(lambda: rig.read(f"{policy}/bios_limit") == "2400000\n")
        rig.write(f"{policy}/scaling_max_freq", "3600000")
        assert rig.read(f"{policy}/scaling_max_freq") == "2400000\n"
        wait_until(lambda: rig.read("/sys/class/power_supply/ADP0/online") == "1\n")
        rig.set_highest_pstate(0)
        wait_until(lambda: rig.read(f"{policy}/scaling_max_freq") == "3600000\n")


class TestLauncher:
    """scripts/rig: a boot of its own each, so few of them."""

    ECHO = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"

    def test_planner_port_and_clean_end(self) -> None:
        before = remains()
        with Rig(planner_command=[sys.executable, "-c", self.ECHO], may_fetch=True) as rig:
            relay = rig.env["HWTUNE_PLANNER_COMMAND"]
            talk = (
                "import subprocess, shlex\n"
                f"p = subprocess.Popen(shlex.split({relay!r}), stdin=-1, stdout=-1, text=True, bufsize=1)\n"
                "for i in range(3):\n"
                "    p.stdin.write('{\"id\": %d}\\n' % i); p.stdin.flush(); print(p.stdout.readline().strip())\n"
                "p.stdin.close(); print(p.wait())"
            )
            for _ in range(2):  # the second client finds the same planner
                said = rig.run(["python", "-c", talk]).check().stdout.splitlines()
                assert said == ['{"ID": 0}', '{"ID": 1}', '{"ID": 2}', "0"]
        assert remains() == before

    def test_status_output_and_clean_end(self) -> None:
        before = remains()
        done = subprocess.run(
            [
                *(CHECKOUT / "scripts" / "rig", "--topology", "shared", "--env", "A=b c", "--timeout", "60"),
                *("sh", "-c", f'echo "$A"; cat {CPUFREQ}/policy0/related_cpus; echo no >&2; exit 9'),
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (9, "b c\n0 1\n", "no\n")
        assert remains() == before

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
    def test_nothing_left_when_killed(self, number: signal.Signals, status: int) -> None:
        before = remains()
        with subprocess.Popen(
            [CHECKOUT / "scripts" / "rig", "sh", "-c", "echo up; sleep 1000"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(number)
            assert process.wait(30) == status
        wait_until(lambda: remains() == before)
