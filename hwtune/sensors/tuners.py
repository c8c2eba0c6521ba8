"""Other programs that set the knobs we set: what each is called, what it writes, how it is told to be at work.

Unit files, bus names and state files are those of the projects; what the less usual ones write is what their own
documentation says.
"""

from __future__ import annotations

from dataclasses import dataclass

# The interface of the desktop's power slider, which several programs speak: its owner tells which one.
PROFILES = ("net.hadess.PowerProfiles", "org.freedesktop.UPower.PowerProfiles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuner:
    """A program that sets CPU power knobs.

    Args:
        name: as its project spells it.
        programs: of its daemon.
        argument: one of these words is on the command line of the daemon, and not when the same program just looks.
        units: systemd units that it comes in, the usual one first.
        bus_names: what it owns on the system bus.
        knobs: keys of ours that it sets.
        besides: what else it writes that moves speed or power, in the kernel's words.
        state: a file that is there while it is at work, for a program that leaves no process.
        of_user: whether its unit is one of the user's systemd.
        activated: whether D-Bus starts it again when anybody asks for it.
        warn_only: whether it may go on beside us: it guards the hardware, or writes only on somebody's request.
        why: what is to be known before it is stopped.
    """

    name: str
    programs: tuple[str, ...]
    units: tuple[str, ...]
    knobs: tuple[str, ...]
    besides: tuple[str, ...] = ()
    argument: tuple[str, ...] = ()
    bus_names: tuple[str, ...] = ()
    state: str | None = None
    of_user: bool = False
    activated: bool = False
    warn_only: bool = False
    why: str = ""


TUNERS = (
    Tuner(
        name="power-profiles-daemon",
        programs=("power-profiles-daemon",),
        units=("power-profiles-daemon.service",),
        bus_names=PROFILES,
        knobs=("governor", "min", "epp", "boost"),
        besides=("platform_profile", "energy_perf_bias"),
        activated=True,
    ),
    Tuner(
        name="tuned",
        programs=("tuned",),
        units=("tuned.service",),
        bus_names=("com.redhat.tuned",),
        knobs=("governor", "epp", "boost", "perf_pct", "uncore", "pm_qos"),
        besides=("energy_perf_bias", "platform_profile", "cpu_dma_latency"),
        activated=True,
    ),
    Tuner(
        name="tuned-ppd",
        programs=("tuned-ppd",),
        units=("tuned-ppd.service",),
        bus_names=PROFILES,
        knobs=("governor", "epp", "boost"),
        besides=("the profile of tuned",),
        activated=True,
    ),
    Tuner(
        name="tlp",
        programs=(),
        units=("tlp.service",),
        state="/run/tlp/last_pwr",
        knobs=("governor", "min", "max", "epp", "boost", "perf_pct"),
        besides=("energy_perf_bias", "platform_profile", "hwp_dynamic_boost", "intel_pstate/status"),
        why="it writes at boot, at resume, and when the charger comes or goes",
    ),
    Tuner(
        name="tlp-pd",
        programs=("tlp-pd",),
        units=("tlp-pd.service",),
        bus_names=PROFILES,
        knobs=("governor", "min", "max", "epp", "boost", "perf_pct"),
        besides=("platform_profile",),
        activated=True,
    ),
    Tuner(
        name="auto-cpufreq",
        programs=("auto-cpufreq",),
        argument=("--daemon", "--live"),
        units=("auto-cpufreq.service", "snap.auto-cpufreq.service.service"),
        knobs=("governor", "min", "max", "epp", "boost"),
        besides=("energy_perf_bias", "platform_profile"),
    ),
    Tuner(
        name="system76-power",
        programs=("system76-power",),
        argument=("daemon",),
        units=("com.system76.PowerDaemon.service", "system76-power.service"),
        bus_names=("com.system76.PowerDaemon",),
        knobs=("governor", "min", "max", "epp", "boost", "perf_pct", "powercap"),
    ),
    Tuner(
        name="intel_lpmd",
        programs=("intel_lpmd",),
        units=("intel_lpmd.service",),
        bus_names=("org.freedesktop.intel_lpmd",),
        knobs=("epp",),
        besides=("energy_perf_bias", "cpusets"),
    ),
    Tuner(
        name="watt",
        programs=("watt",),
        units=("watt.service",),
        bus_names=("dev.notashelf.Watt", *PROFILES),
        knobs=("governor", "min", "max", "epp", "boost"),
        besides=("energy_perf_bias", "platform_profile"),
    ),
    Tuner(
        name="tuxedo-control-center",
        programs=("tccd", "tccd-ng"),
        units=("tccd.service",),
        bus_names=("com.tuxedocomputers.tccd",),
        knobs=("governor", "min", "max", "epp", "boost"),
        why="it drives the fans as well",
    ),
    Tuner(
        name="asusd",
        programs=("asusd",),
        units=("asusd.service",),
        bus_names=("xyz.ljones.Asusd", "org.asuslinux.Daemon"),
        knobs=("epp",),
        besides=("platform_profile",),
    ),
    Tuner(
        name="cpufreqd",
        programs=("cpufreqd",),
        units=("cpufreqd.service",),
        knobs=("governor", "min", "max"),
    ),
    Tuner(
        name="eard",
        programs=("eard",),
        units=("eard.service",),
        knobs=("governor", "min", "max", "boost", "powercap", "uncore"),
    ),
    Tuner(
        name="thermald",
        programs=("thermald",),
        units=("thermald.service",),
        bus_names=("org.freedesktop.thermald",),
        knobs=("max", "boost", "perf_pct", "powercap"),
        warn_only=True,
        why="it guards the temperature and writes when it is hot; on a laptop stop it only for a measurement",
    ),
    Tuner(
        name="gamemode",
        programs=("gamemoded",),
        units=("gamemoded.service",),
        of_user=True,
        knobs=("governor",),
        besides=("platform_profile",),
        warn_only=True,
        why="it writes while a game runs",
    ),
    Tuner(
        name="geopm",
        programs=("geopmd",),
        units=("geopm.service",),
        bus_names=("io.github.geopm",),
        knobs=("max", "min", "powercap", "uncore"),
        warn_only=True,
        why="it writes while somebody has a session open with it",
    ),
)


# Whoever else answers to the desktop's slider sets at least these.
UNKNOWN = Tuner(
    name="a power profiles service",
    programs=(),
    units=(),
    bus_names=PROFILES,
    knobs=("governor", "min", "epp", "boost"),
    besides=("platform_profile",),
    activated=True,
)
