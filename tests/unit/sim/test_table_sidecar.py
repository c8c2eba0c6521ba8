"""The sidecar: every key that is off is named, with its line where it has one."""

import pytest

from hwtune.domain.errors import UsageError
from hwtune.sim.table_sidecar import parse_sidecar, read_sidecar

PLAIN = """\
[table]
about = "a machine"
workload = "workload"
time_s = "time_s"
energy_j = "energy_j"
features = "ctr_*"

[knobs.freq_mhz]
unit = "MHz"
role = "frequency"
default = "max"
"""


def test_a_sidecar_in_full():
    found = parse_sidecar(
        PLAIN + '[knobs.threads]\nrole = "active_cpus"\ndefault = 4\n'
        '[filter]\nwhere = "outlier == 0"\nmin_median_time_s = 15\n'
    )
    assert list(found.knobs) == ["freq_mhz", "threads"]
    assert found.knobs["threads"].default == 4.0
    assert (found.filter.where, found.filter.min_median_time_s) == ("outlier == 0", 15.0)


@pytest.mark.parametrize(
    ("features", "columns"),
    [
        ('"ctr_*"', ("ctr_b", "ctr_a.1")),
        ('["ctr_a.1", "other"]', ("ctr_a.1", "other")),
        ("[]", ()),
        ('"none"', ()),
        ('"*"', ("ctr_b", "ctr_a.1", "other")),
    ],
)
def test_features_are_a_list_or_a_glob_over_what_is_left(features, columns):
    found = parse_sidecar(PLAIN.replace('"ctr_*"', features))
    header = ("workload", "ctr_b", "freq_mhz", "time_s", "energy_j", "ctr_a.1", "other")
    assert found.feature_columns(header) == columns


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('role = "frequency"', 'role = "turbo"', "line 10: knobs.freq_mhz.role: unknown role 'turbo'", "memory_freq"),
        ('role = "frequency"', "role = 3", "line 10: knobs.freq_mhz.role: unknown role 3", "memory_freq"),
        ('unit = "MHz"', 'units = "MHz"', "line 9: unknown key knobs.freq_mhz.units", "did you mean unit?"),
        ("features =", "feature =", "line 6: unknown key table.feature", "did you mean features?"),
        ('about = "a machine"', 'colour = "red"', "line 2: unknown key table.colour", "known keys: workload"),
        ('time_s = "time_s"\n', "", "line 1: table.time_s is missing", "docs/replay.md"),
        ('default = "max"', 'default = "most"', "line 11: knobs.freq_mhz.default: ", "docs"),
        ('default = "max"', "default = nan", "line 11: knobs.freq_mhz.default: ", "docs"),
        ('default = "max"', "default = true", "line 11: knobs.freq_mhz.default: ", "docs"),
        ('"energy_j"', '"time_s"', "column 'time_s' is given two meanings", "docs"),
        ('"energy_j"', '"freq_mhz"', "column 'freq_mhz' is given two meanings", "docs"),
        ('"ctr_*"', '["freq_mhz"]', "column 'freq_mhz' is given two meanings", "docs"),
        ("[table]", "[table", "not TOML: .* line 1", "docs"),
        ("[knobs.freq_mhz]", "[knob.freq_mhz]", "knobs is missing", "docs"),
        ('"ctr_*"', "5", "line 6: table.features", "docs"),
    ],
)
def test_what_is_off_is_named(old, new, message, hint):
    assert old in PLAIN
    with pytest.raises(UsageError, match=message) as caught:
        parse_sidecar(PLAIN.replace(old, new))
    assert hint in (caught.value.hint or "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extra", ["[filter]\nwhere = 3\n", "[filter]\nmin_median_time_s = -1.0\n", "[filters]\n"])
def test_a_filter_that_is_none(extra):
    with pytest.raises(UsageError, match="filter"):
        parse_sidecar(PLAIN + extra)


def test_a_table_without_knobs_has_nothing_to_turn():
    with pytest.raises(UsageError, match="knobs"):
        parse_sidecar(PLAIN.partition("[knobs")[0] + "[knobs]\n")


def test_the_file_is_named(tmp_path):
    path = tmp_path / "some.toml"
    with pytest.raises(UsageError, match=r"some.toml: No such file"):
        read_sidecar(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"some.toml: not UTF-8"):
        read_sidecar(path)
    path.write_text("[" * 5000)
    with pytest.raises(UsageError, match=r"some.toml: "):
        read_sidecar(path)
