"""Captures of real machines beside the checkout: what the probe says of each is what its files say, and what `apply`
would write is what was asked for, into the files of that cluster and no others.
"""

import io
import json
import os
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hwtune.cli.main import app
from hwtune.domain.errors import HwtuneError

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "trees"
ARCHIVES = sorted(SHARED.glob("*.tar.gz")) if SHARED.exists() else []
CPU = "sys/devices/system/cpu"
pytestmark = [pytest.mark.shared, pytest.mark.skipif(not ARCHIVES, reason="the captures are not here")]


def run(*words):
    """Exit status and the JSON document; whatever is no error of ours is a traceback."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    if isinstance(result.exception, HwtuneError):
        assert result.exception.hint
        return result.exception.exit_status, json.loads(result.stdout or "null")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout or "null")


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name)
def capture(request, tmp_path_factory):
    """The archive, and the same files unpacked."""
    root = tmp_path_factory.mktemp("capture")
    with tarfile.open(request.param) as tar:
        for member in tar:
            if member.isfile() or member.issym() or member.isdir():
                tar.extract(member, root, filter="tar")
    return request.param, root


def told(directory, name):
    """What a file says, None when it is not there or empty."""
    path = directory / name
    return (path.read_text(errors="replace").strip() or None) if path.exists() else None


def number(text):
    return int(text) if text is not None and text.isdigit() else None


def policy_directory(root, document, policy):
    """Where the files of a policy are, in either layout; that of the first CPU that has any."""
    new = root / f"{CPU}/cpufreq/policy{policy['number']}"
    return new if new.is_dir() else root / f"{CPU}/cpu{policy['number']}/cpufreq"


def test_the_probe_says_what_the_files_say(capture):
    archive, root = capture
    status, document = run("probe", "--root", archive)
    again, unpacked = run("probe", "--root", root)
    assert status == again
    # Who may write a directory is another matter, and so is where it is.
    apart = {"machine", "permissions"}
    assert {key: document[key] for key in document.keys() - apart} == {
        key: unpacked[key] for key in unpacked.keys() - apart
    }
    assert document["machine"] | {"name": ""} == unpacked["machine"] | {"name": ""}
    cpufreq = document["cpufreq"]
    new = sorted((root / CPU / "cpufreq").glob("policy[0-9]*"))
    old = [path for path in (root / CPU).glob("cpu[0-9]*/cpufreq") if told(path, "scaling_driver")]
    assert status == (0 if new or old else 3)
    assert bool(cpufreq["policies"]) == (status == 0)
    if new:
        assert [f"policy{policy['number']}" for policy in cpufreq["policies"]] == sorted(
            (path.name for path in new), key=lambda name: int(name[6:])
        )
    for path in old if not new else ():
        owners = [policy for policy in cpufreq["policies"] if int(path.parent.name[3:]) in policy["related_cpus"]]
        related = told(path, "related_cpus")
        assert len(owners) == 1 or (related and path.parent.name[3:] not in related.split()), path
    for policy in cpufreq["policies"]:
        files = policy_directory(root, document, policy)
        assert policy["driver"] == told(files, "scaling_driver")
        assert policy["governor"] == told(files, "scaling_governor")
        assert policy["epp"] == told(files, "energy_performance_preference")
        assert policy["min_khz"] == number(told(files, "scaling_min_freq"))
        assert policy["max_khz"] == number(told(files, "scaling_max_freq"))
        assert policy["current_khz"] in (
            number(told(files, "scaling_cur_freq")),
            number(told(files, "cpuinfo_cur_freq")),
        )
        if related := told(files, "related_cpus"):
            assert policy["related_cpus"] == sorted(map(int, related.split()))
    assert set(cpufreq["drivers"]) == {policy["driver"] for policy in cpufreq["policies"]} - {None}


def test_clusters_are_policies_of_like_cores(capture):
    archive, root = capture
    _, document = run("probe", "--root", archive)
    policies = {policy["number"]: policy for policy in document["cpufreq"]["policies"]}
    clusters = document["cpufreq"]["clusters"]
    assert sorted(member for cluster in clusters for member in cluster["policies"]) == sorted(policies)
    for cluster in clusters:
        members = [policy_directory(root, document, policies[member]) for member in cluster["policies"]]
        lows = {number(told(files, "cpuinfo_min_freq")) for files in members} - {None}
        highs = {number(told(files, "cpuinfo_max_freq")) for files in members} - {None}
        tables = {told(files, "scaling_available_frequencies") for files in members} - {None}
        boosted = {told(files, "scaling_boost_frequencies") for files in members} - {None}
        levels = {int(word) for table in tables | boosted for word in table.split()}
        assert len(tables) <= 1
        # A driver with a table counts the time in each of its levels; not every one lists them.
        counted = {word for files in members for word in (told(files, "stats/time_in_state") or "").split()[::2]}
        levels = levels if tables else {int(word) for word in counted}
        assert cluster["levels_khz"] == (sorted(levels) or None)
        assert cluster["lowest_khz"] == min(lows | (set() if lows else levels), default=None)
        assert cluster["highest_khz"] == max(highs | (set() if highs else levels), default=None)
        # Favoured cores are a few percent faster than the others of their kind.
        assert not highs or min(highs) > 0.85 * max(highs)
        everywhere = [policy_directory(root, document, policy) for policy in policies.values()]
        words = {told(files, "scaling_available_governors") for files in everywhere} - {None}
        assert len(words) <= 1
        assert cluster["governors"] == (next(iter(words)).split() if words else [])
    kinds = [(cluster["highest_khz"], cluster["driver"], cluster["levels_khz"]) for cluster in clusters]
    assert len({repr(kind) for kind in kinds}) == len(kinds)


def middle(knob, cluster):
    """A legal value in the middle of a range."""
    levels = cluster["levels_khz"] or range(knob["low"] // 100_000 * 100_000, knob["high"], 100_000)
    inside = [khz for khz in levels if knob["low"] < khz < knob["high"]]
    return inside[len(inside) // 2]


def test_apply_would_write_what_was_asked_for(capture):
    archive, root = capture
    _, document = run("probe", "--root", archive)
    cpufreq = document["cpufreq"]
    policies = {policy["number"]: policy for policy in cpufreq["policies"]}
    asked = 0
    for knob in cpufreq["knobs"]:
        key = knob["name"].rpartition(".")[2]
        first = int(knob["name"][6:].partition(".")[0]) if knob["name"].startswith("policy") else min(policies)
        cluster = next(cluster for cluster in cpufreq["clusters"] if first in cluster["policies"])
        if key == "max" and knob["unit"] == "kHz":
            value, attribute = middle(knob, cluster), "scaling_max_freq"
        elif key == "governor":
            value, attribute = next(word for word in knob["choices"] if word != knob["now"]), "scaling_governor"
        elif key == "epp":
            value, attribute = next(word for word in knob["choices"] if word != knob["now"]), None
            attribute = "energy_performance_preference"
        else:
            continue
        asked += 1
        status, answer = run("apply", "--dry-run", "--root", archive, f"{knob['name']}={value}")
        assert status == 0, knob
        assert answer["effective"][knob["name"]] == value
        changed = {
            path: text["wanted"] for path, text in answer["would_write"].items() if text["wanted"] != text["now"]
        }
        assert changed
        written = set()
        for path, wanted in changed.items():
            (policy,) = (
                p
                for p in policies.values()
                if path.startswith(f"/{policy_directory(root, document, p).relative_to(root)}/")
            )
            assert policy["number"] in cluster["policies"]
            assert path.rpartition("/")[2] == attribute
            top = number(told(policy_directory(root, document, policy), "cpuinfo_max_freq"))
            assert wanted == str(min(value, top or value) if isinstance(value, int) else value)
            written.add(policy["number"])
        alike = [
            policies[member]
            for member in cluster["policies"]
            if policies[member][_FIELDS[key]] == policies[first][_FIELDS[key]]
        ]
        assert {policy["number"] for policy in alike if policy["driver"]} <= written
    assert asked or not cpufreq["knobs"] or all(knob["name"].endswith("min") for knob in cpufreq["knobs"])
    if not cpufreq["policies"]:
        assert run("apply", "--dry-run", "--root", archive, "max=1GHz")[0] == 3


_FIELDS = {"max": "max_khz", "governor": "governor", "epp": "epp"}


def members(root):
    """Name and bytes of every file, or where a link points."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            yield name, os.readlink(path)
        elif path.is_file():
            yield name, path.read_bytes()


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_capture_is_never_a_traceback(capture, tmp_path, seed):
    """Some files gone, some empty, some random bytes, in a new archive."""
    _, root = capture
    chance = random.Random(seed)
    damaged = tmp_path / "damaged.tar"
    with tarfile.open(damaged, "w") as tar:
        for name, content in members(root):
            fate = chance.random()
            if fate < 0.1:
                continue
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
                continue
            changed = content if fate < 0.7 else b"" if fate < 0.8 else chance.randbytes(chance.randrange(64))
            info.size = len(changed)
            tar.addfile(info, io.BytesIO(changed))
    assert run("probe", "--root", damaged)[0] in (0, 3)
    assert run("apply", "--dry-run", "--root", damaged, "max=1GHz")[0] in (0, 2, 3)
