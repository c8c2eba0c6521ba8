"""Small sysfs trees in a directory, as plain files."""

from pathlib import Path

CPU = "sys/devices/system/cpu"


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")
    return root


def policy(number: int, *, cpus: str | None = None, old: bool = False, **attributes: str) -> dict[str, str]:
    directory = f"{CPU}/cpu{number}/cpufreq" if old else f"{CPU}/cpufreq/policy{number}"
    texts = {
        "affected_cpus": cpus or str(number),
        "related_cpus": cpus or str(number),
        "scaling_driver": "acpi-cpufreq",
        "scaling_available_governors": "ondemand performance schedutil ",
        "scaling_governor": "schedutil",
        "cpuinfo_min_freq": "800000",
        "cpuinfo_max_freq": "2000000",
        "scaling_min_freq": "800000",
        "scaling_max_freq": "2000000",
        "scaling_available_frequencies": "2000000 1400000 800000 ",
        **attributes,
    }
    return {f"{directory}/{name}": text for name, text in texts.items()}


def intel_policy(number: int, **attributes: str) -> dict[str, str]:
    files = policy(
        number,
        scaling_driver="intel_pstate",
        scaling_available_governors="performance powersave",
        scaling_governor="powersave",
        energy_performance_available_preferences="default performance balance_performance balance_power power ",
        energy_performance_preference="balance_performance",
        **attributes,
    )
    return {path: text for path, text in files.items() if not path.endswith("available_frequencies")}
