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
        ("features =", "Features =", "line 6: unknown key table.Features", "did you mean features?"),
        (
            'workload = "workload"',
            'wokload = "workload"',
            "line 3: unknown key table.wokload",
            "did you mean workload?",
        ),
        ('workload = "workload"', 'benchmark = "workload"', "line 1: table.workload is missing", "docs/replay.md"),
        ('time_s = "time_s"', "time_s = 3", "line 4: table.time_s: ", "docs"),
        (
            'role = "frequency"',
            'rolle = "frequency"',
            "line 10: unknown key knobs.freq_mhz.rolle",
            "did you mean role?",
        ),
        ('default = "max"', "defualt = 3", "line 11: unknown key knobs.freq_mhz.defualt", "did you mean default?"),
        ('default = "max"', "default_mhz = 3", "line 11: unknown key knobs.freq_mhz.default_mhz", "mean default?"),
        ('time_s = "time_s"\n', "", "line 1: table.time_s is missing", "docs/replay.md"),
        ('default = "max"', 'default = "most"', "line 11: knobs.freq_mhz.default: ", "docs"),
        ('default = "max"', "default = nan", "line 11: knobs.freq_mhz.default: ", "docs"),
        ('default = "max"', "default = true", "line 11: knobs.freq_mhz.default: ", "docs"),
        ('"energy_j"', '"time_s"', "column 'time_s' is given two meanings", "docs"),
        ('"energy_j"', '"freq_mhz"', "column 'freq_mhz' is given two meanings", "docs"),
        ('"ctr_*"', '["freq_mhz"]', "column 'freq_mhz' is given two meanings", "docs"),
        ("[table]", "[table", "not TOML: .* line 1", "docs"),
        ("[knobs.freq_mhz]", "[knob.freq_mhz]", "line 8: unknown key knob", "did you mean knobs?"),
        ("[knobs.freq_mhz]", "[cpu.freq_mhz]", "knobs is missing", "docs"),
        ("[knobs.freq_mhz]", "[knob.threads]\n[knobs.freq_mhz]", "line 8: unknown key knob", "did you mean knobs?"),
        ('"ctr_*"', "5", "line 6: table.features", "docs"),
    ],
)
def test_what_is_off_is_named(old, new, message, hint):
    assert old in PLAIN
    with pytest.raises(UsageError, match=message) as caught:
        parse_sidecar(PLAIN.replace(old, new))
    assert hint in (caught.value.hint or "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "message", "hint"),
    [
        ("[filter]\nwhere = 3\n", "line 13: filter.where: ", "docs"),
        ("[filter]\nmin_median_time_s = -1.0\n", "line 13: filter.min_median_time_s: ", "docs"),
        ("[filter]\nwere = 'x == 0'\n", "line 13: unknown key filter.were", "did you mean where?"),
        (
            "[filter]\nmax_time_s = 9\n",
            "line 13: unknown key filter.max_time_s",
            "known keys: where, min_median_time_s",
        ),
        ("[filters]\nwhere = 'x == 0'\n", "line 12: unknown key filters", "did you mean filter?"),
        ("[filter]\n[filters.more]\n", "line 13: unknown key filters", "did you mean filter?"),
    ],
)
def test_a_filter_that_is_none(extra, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        parse_sidecar(PLAIN + extra)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("before", "more"),
    [
        ("[knobs", 'url = "https://example.org"\nyear = 2019\ncite = ["a", "b"]\nhost = "node3"\nkernel = 6.1\n'),
        ("[knobs", 'time = "wall clock"\nenergy_source = "RAPL"\nworkloads = 12\nenergy_uj = "raw"\nsources = "x"\n'),
        ("[knobs", "[table.columns]\nipc = 'instructions per cycle'\n"),
        ("unit =", 'about = "the cap"\nkernel_file = "scaling_max_freq"\nlevels = [1, 2]\n'),
        ("unit =", 'units = "see unit"\nrole_note = "the only one"\n'),
        ("", "[knobs.freq_mhz.values]\nlow = 1\n"),
        ("", "[machine]\ncpu = 'x'\n[files.raw]\nsha = 'y'\n[[runs]]\nn = 1\n[kernel]\n[tags]\n[notes]\n"),
        ("[table]", 'title = "made up"\nschema = 2\n'),
    ],
)
def test_what_others_write_for_people_is_passed_over(before, more):
    text = PLAIN.replace(before, more + before, 1) if before else PLAIN + more
    assert text != PLAIN
    assert parse_sidecar(text) == parse_sidecar(PLAIN)


def test_where_figures_come_from_may_be_no_text():
    columns = parse_sidecar(PLAIN.replace('about = "a machine"', 'source = ["a", "b"]\nmachine = 3')).table
    assert (columns.source, columns.machine) == ("['a', 'b']", "3")


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
