"""How fast busy cores run: idle ones say nothing, and the lowest figure counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hwtune.sensors.loaded import LoadedClocks, parse_busy_ticks

CPUFREQ = "/sys/devices/system/cpu/cpufreq"


class Machine:
    """Two policies of one CPU each, in a file system that can be read only."""

    def __init__(self) -> None:
        self.busy, self.idle = [0, 0], [0, 0]
        self.khz = [800_000, 800_000]

    def run(self, busy: tuple[int, int], khz: tuple[int, int], ticks: int = 100) -> None:
        for cpu in (0, 1):
            self.busy[cpu] += busy[cpu]
            self.idle[cpu] += ticks - busy[cpu]
        self.khz = list(khz)

    def read(self, path: str) -> str | None:
        if path == "/proc/stat":
            lines = [f"cpu{cpu} {self.busy[cpu]} 0 0 {self.idle[cpu]} 0 0 0 0 0 0" for cpu in (0, 1)]
            return "\n".join(["cpu  0 0 0 0", *lines, "intr 1"])
        for number in (0, 1):
            if path == f"{CPUFREQ}/policy{number}/affected_cpus":
                return str(number)
            if path == f"{CPUFREQ}/policy{number}/scaling_cur_freq":
                return str(self.khz[number])
        return None

    def write(self, path: str, value: str) -> None:
        raise AssertionError(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        return (f"{CPUFREQ}/policy0", f"{CPUFREQ}/policy1") if pattern.startswith(CPUFREQ) else ()

    def writable(self, path: str) -> bool:
        return False


def test_only_busy_policies_count_and_the_lowest_figure_does() -> None:
    machine = Machine()
    clocks = LoadedClocks(machine)
    clocks.watching = True
    clocks.look()
    machine.run((95, 3), (3_500_000, 800_000))
    clocks.look()
    machine.run((95, 3), (3_300_000, 800_000))
    clocks.look()
    machine.run((10, 3), (900_000, 800_000))
    clocks.look()
    assert clocks.take() == {f"{CPUFREQ}/policy0": 3_300_000}
    assert clocks.take() == {}


def test_a_look_too_soon_waits_for_the_next_one() -> None:
    machine = Machine()
    clocks = LoadedClocks(machine)
    clocks.watching = True
    clocks.look()
    machine.run((2, 0), (3_500_000, 0), ticks=2)
    clocks.look()
    assert clocks.take() == {}
    machine.run((98, 0), (3_500_000, 800_000), ticks=98)
    clocks.look()
    assert clocks.take() == {f"{CPUFREQ}/policy0": 3_500_000}


def test_nobody_watching_nothing_read() -> None:
    machine = Machine()
    clocks = LoadedClocks(machine)
    machine.read = None  # type: ignore[assignment, method-assign]
    clocks.look()
    assert clocks.take() == {}


def test_busy_is_neither_idle_nor_waiting_nor_stolen() -> None:
    assert parse_busy_ticks("cpu  1 2 3 4\ncpu3 10 1 5 100 7 2 3 50 9 9\ncpu4 1 2") == {3: (21, 178)}


@given(st.text())
def test_any_text(text: str) -> None:
    parse_busy_ticks(text)
