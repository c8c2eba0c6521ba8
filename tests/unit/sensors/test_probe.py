import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hwtune.cli import probe_find
from hwtune.cli.probe import probe
from hwtune.cli.probe_document import ProbeDocument
from hwtune.cli.probe_find import parse_cpu_model
from hwtune.cli.probe_text import ranges
from hwtune.domain.errors import HwtuneError, Unsupported
from hwtune.sensors.competitors import CompetingTuner
from hwtune.sensors.tuners import TUNERS

TREES = Path(__file__).resolve().parents[2] / "trees"
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "trees"
CPUFREQ = "sys/devices/system/cpu/cpufreq"

app = typer.Typer()
app.command()(probe)


@app.callback()
def one_verb():
    """Keep `probe` a verb of its own."""


def run(*arguments):
    """Exit status and standard output, with errors counted as the command line does."""
    result = CliRunner().invoke(app, ["probe", *map(str, arguments)])
    if isinstance(result.exception, HwtuneError):
        assert result.exception.hint
        return result.exception.exit_status, result.stdout
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def document(root):
    status, output = run("--json", "--root", root)
    return status, ProbeDocument.model_validate_json(output)


def copy_of(name, tmp_path):
    return Path(shutil.copytree(TREES / name, tmp_path / name))


def findings(doc):
    return [doc.cpufreq, doc.energy, doc.counters, doc.pressure, doc.temperature, doc.idle, *doc.permissions]


def test_laptop():
    status, doc = document(TREES / "laptop")
    assert status == 0
    assert doc.cpufreq.drivers == ["intel_pstate"]
    assert [policy.number for policy in doc.cpufreq.policies] == [0, 1, 2, 3]
    (cluster,) = doc.cpufreq.clusters
    assert (cluster.cpus, cluster.governors) == ([0, 1, 2, 3], ["performance", "powersave"])
    assert (cluster.lowest_khz, cluster.highest_khz, cluster.base_khz) == (400_000, 3_600_000, 1_800_000)
    assert doc.cpufreq.policies[0].current_khz == 399_899
    assert {"governor", "min", "max", "epp", "boost"} <= {knob.name for knob in doc.cpufreq.knobs}
    assert (doc.energy.quality, doc.energy.zones) == ("package", ["package-0"])
    assert doc.temperature.temp_c == {"x86_pkg_temp/thermal_zone1": 61.0}
    assert doc.idle.states == ["POLL", "C1", "C8"]
    assert "memory_full" in doc.pressure.totals
    assert doc.competing is None
    assert not doc.machine.live


def test_phone_with_the_old_layout():
    status, doc = document(TREES / "phone")
    assert status == 0
    assert [(cluster.cpus, cluster.highest_khz) for cluster in doc.cpufreq.clusters] == [
        ([0, 1, 2, 3], 1_600_000),
        ([4, 5], 2_400_000),
    ]
    assert [policy.current_khz for policy in doc.cpufreq.policies] == [None, 2_600_000]
    assert doc.energy.quality == "none"
    assert "sfp" in doc.energy.why


def test_directories_of_policies_without_their_files(tmp_path):
    root = copy_of("phone", tmp_path)
    _, told = document(root)
    for number in (0, 4):
        (root / CPUFREQ / f"policy{number}/stats").mkdir(parents=True)
    status, doc = document(root)
    assert status == 0
    assert doc == told


def test_the_policy_of_an_offline_cpu_in_a_capture(tmp_path):
    root = copy_of("laptop", tmp_path)
    (root / CPUFREQ.replace("cpufreq", "online")).write_text("0-2\n")
    for path in (root / CPUFREQ / "policy3").rglob("*"):
        if path.is_file():
            path.write_text("")
    _, doc = document(root)
    assert [(policy.number, policy.online) for policy in doc.cpufreq.policies] == [
        (0, True),
        (1, True),
        (2, True),
        (3, False),
    ]
    assert [cluster.policies for cluster in doc.cpufreq.clusters] == [[0, 1, 2]]


def test_without_cpufreq_everything_else_is_told_and_the_status_is_3():
    status, doc = document(TREES / "no-cpufreq")
    assert status == 3
    assert not doc.cpufreq.available
    assert doc.machine.cpu == "Example vCPU"
    status, text = run("--root", TREES / "no-cpufreq")
    assert status == 3
    assert "hypervisor" in text


@pytest.mark.parametrize("name", ["laptop", "phone", "no-cpufreq"])
def test_every_no_has_a_reason_and_a_hint(name):
    _, doc = document(TREES / name)
    for finding in findings(doc):
        assert finding.available or (finding.why and finding.hint)
    _, text = run("--root", TREES / name)
    for finding in findings(doc):
        assert finding.hint is None or finding.hint in text


def test_json_is_one_document_and_nothing_else():
    _, output = run("--json", "--root", TREES / "laptop")
    assert json.loads(output)["schema_version"] == 1
    assert output.count("\n") == 1


def test_documentation_names_every_field():
    page = (Path(__file__).resolve().parents[3] / "docs" / "probe.md").read_text()
    schema = ProbeDocument.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    assert not [field for part in parts for field in part["properties"] if f"`{field}`" not in page]


def test_this_machine():
    status, output = run("--json")
    doc = ProbeDocument.model_validate_json(output)
    assert status == (0 if doc.cpufreq.available else 3)
    assert doc.machine.live
    assert doc.machine.memory_bytes > 0
    assert doc.competing is not None
    for finding in findings(doc):
        assert finding.available or (finding.why and finding.hint)


def test_competing_tuners_are_named(monkeypatch):
    tuned = next(tuner for tuner in TUNERS if tuner.name == "tuned")
    found = CompetingTuner(tuner=tuned, pid=7, unit="tuned.service", bus_name="com.redhat.tuned")
    monkeypatch.setattr(probe_find, "competing_tuners", lambda files, bus: (found,))
    _, text = run()
    assert "tuned (process 7, tuned.service, D-Bus name com.redhat.tuned) sets governor, epp, boost" in text
    assert "systemctl mask --runtime --now tuned.service" in text
    (entry,) = ProbeDocument.model_validate_json(run("--json")[1]).competing
    assert (entry.pid, entry.unit, entry.bus_name) == (7, "tuned.service", "com.redhat.tuned")
    assert {"governor", "energy_perf_bias"} <= set(entry.writes)
    assert not entry.warn_only


def test_emulated_meter_is_called_so(tmp_path):
    root = copy_of("no-cpufreq", tmp_path)
    device = root / "sys/class/hwmon/hwmon0/device"
    device.mkdir(parents=True)
    for name, text in {"name": "power_meter", "power1_average": "9000000", "power1_oem_info": "hwtune-rig"}.items():
        (device / name).write_text(text)
    _, doc = document(root)
    assert doc.energy.emulated
    assert "EMULATED" in run("--root", root)[1]


@pytest.mark.parametrize(
    "content", ["", "garbage \x00 é\n", "99999999999999999999999999", "-5", "² 3", "0-99999999", "<unknown>\n1 2 3"]
)
@pytest.mark.parametrize("name", ["laptop", "phone"])
def test_no_text_of_any_file_makes_a_traceback(tmp_path, name, content):
    root = copy_of(name, tmp_path)
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        if number % 3 or "scaling_" not in path.name:
            path.write_text(content)
    status, _ = run("--root", root)
    assert status in (0, 3)
    assert run("--json", "--root", root)[0] == status


def test_no_missing_file_makes_a_traceback(tmp_path):
    root = copy_of("laptop", tmp_path)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    for path in paths:
        kept = path.read_text()
        path.unlink()
        assert run("--root", root)[0] == 0
        path.write_text(kept)


@pytest.mark.parametrize("root", ["/nonexistent", "/proc/version"])
def test_a_root_that_is_none(root):
    with pytest.raises(HwtuneError):
        raise CliRunner().invoke(app, ["probe", "--root", root]).exception


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: A CPU @ 1GHz\nmodel name\t: B", "A CPU @ 1GHz"),
        ("CPU part\t: 0xd03\nHardware\t: SDM845", "SDM845"),
        ("model name\t:\nflags: x", None),
        ("", None),
    ],
)
def test_cpu_model(text, name):
    assert parse_cpu_model(text) == name


@given(st.text(max_size=80))
def test_cpu_model_of_odd_text(text):
    name = parse_cpu_model(text)
    assert name is None or name in text


@given(st.sets(st.integers(0, 300)))
def test_ranges_lose_no_number(numbers):
    found = set()
    for part in filter(None, ranges(sorted(numbers)).split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


def index():
    """Rows of the captures' own index, none where they are not at hand."""
    path = SHARED / "INDEX.tsv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.reader(file, delimiter="\t"))[1:]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the captures are not here")
@pytest.mark.parametrize("row", index(), ids=lambda row: row[0])
def test_captures_of_real_machines(row):
    archive, driver, governors, count, notes = row[0], row[3], row[4], row[5], row[7]
    status, doc = document(SHARED / archive)
    if driver == "-":
        assert status == 3
        assert doc.cpufreq.policies == []
        return
    assert status == 0
    assert doc.cpufreq.drivers == [driver]
    assert {tuple(cluster.governors) for cluster in doc.cpufreq.clusters} == {tuple(governors.split())}
    if "cpuN/cpufreq" in count:
        assert 1 <= len(doc.cpufreq.policies) <= int(count.split()[0])
    else:
        assert len(doc.cpufreq.policies) == int(count.split()[0])
    for first, last, low, high in re.findall(r"\b(\d+)(?:-(\d+))?:(\d+)-(\d+)", notes):
        cpus = set(range(int(first), int(last or first) + 1))
        assert any(
            cpus <= set(cluster.cpus) and (cluster.lowest_khz, cluster.highest_khz) == (int(low), int(high))
            for cluster in doc.cpufreq.clusters
        ), (cpus, low, high)
    highs = {int(high) for high in re.findall(r"\b\d+-(\d+)\(x\d+\)", notes)}
    if highs:
        found = {cluster.highest_khz for cluster in doc.cpufreq.clusters}
        assert found <= highs
        assert max(found) == max(highs)
    assert sum(len(cluster.policies) for cluster in doc.cpufreq.clusters) == len(doc.cpufreq.policies)
    assert run("--root", SHARED / archive)[0] == 0


def test_unsupported_is_what_ends_it():
    result = CliRunner().invoke(app, ["probe", "--root", str(TREES / "no-cpufreq")])
    assert isinstance(result.exception, Unsupported)
