"""Measured tables: what a row means, which workloads can be replayed, and what is refused."""

import csv
import re
import tomllib
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.planner.protocol import Request, line, parse_request
from hwtune.sim.table import parse_table, read_table
from hwtune.sim.table_sidecar import parse_sidecar

TABLES = Path(__file__).resolve().parents[3].parent / "shared" / "tables"

SIDECAR = """\
[table]
workload = "workload"
time_s = "time_s"
energy_j = "energy_j"
features = ["ipc"]
[filter]
where = "outlier == 0"
[knobs.freq]
unit = "GHz"
role = "frequency"
"""
HEADER = "workload,freq,time_s,energy_j,ipc,outlier"
ROWS = [f"a,{1 + level / 5:g},{24 / (5 + level)},{10 + level},0.5,0" for level in range(12)]


def table(*rows, header=HEADER, sidecar=SIDECAR):
    return parse_table("\n".join([header, *rows]) + "\n", parse_sidecar(sidecar), name="t")


def test_a_table_is_its_rows():
    found = table(*ROWS)
    (workload,) = found.workloads
    (knob,) = workload.space.knobs
    assert (knob.role, knob.unit, knob.levels) == ("frequency", "GHz/10", tuple(range(10, 33, 2)))
    assert knob.default == 32
    assert len(workload.space.allowed) == 12
    assert all(workload.space.legal(setting) for setting in workload.runs)
    assert not workload.space.legal(Setting(freq=11))
    (run,) = workload.runs[Setting(freq=32)]
    assert (run.time_s, run.energy_j, run.features) == (1.5, 21.0, {"ipc": 0.5})
    assert found.numbers(Setting(freq=24)) == {"freq": 2.4}
    assert found.numbers(Setting(freq=20)) == {"freq": 2}


def test_rows_with_the_same_knobs_are_repetitions():
    found = table(*ROWS, "a,3.2,9.0,40,0.7,0", "a,3.20,2.0,30,,0")
    workload = found.workloads[0]
    runs = workload.runs[Setting(freq=32)]
    assert [run.time_s for run in runs] == [1.5, 9.0, 2.0]
    assert [run.features for run in runs] == [{"ipc": 0.5}, {"ipc": 0.7}, {}]
    assert workload.figures(Setting(freq=32)) == (2.0, 30.0)


def test_what_the_filter_leaves_out_does_not_count_and_is_not_looked_at():
    found = table(*ROWS, "a,9.9,none,0,nan,1", "b,1,1,1,1,1")
    assert len(found.workloads[0].runs) == 12
    assert [(each.workload, each.why) for each in found.skipped] == [("b", "no row is left by the filter")]


@pytest.mark.parametrize(
    ("default", "number"), [("'max'", 3.2), ("'min'", 1), ("2.4", 2.4), ("2", 2), ("1.0", 1), ("24e-1", 2.4)]
)
def test_the_default(default, number):
    found = table(*ROWS, sidecar=SIDECAR + f"default = {default}\n")
    assert found.numbers(found.workloads[0].space.default) == {"freq": number}


def test_the_largest_is_of_the_workloads_own_rows():
    slow = [row.replace("a,", "b,", 1) for row in ROWS[:11]]
    found = table(*slow, *ROWS)
    assert [each.name for each in found.workloads] == ["b", "a"]
    assert [found.numbers(each.space.default)["freq"] for each in found.workloads] == [3, 3.2]


@pytest.mark.parametrize(
    ("rows", "more", "why"),
    [
        ([row.replace("a,", "b,") for row in ROWS[:9]], "", "it has 9 settings, fewer than 10"),
        ([row.replace("a,", "b,") for row in ROWS[:9]] * 3, "", "it has 9 settings, fewer than 10"),
        ([row.replace("a,", "b,") for row in ROWS[:11]], "default = 3.2\n", "no row for the default setting freq=3.2"),
        ([f"b,{level / 5},0.1,1,1,0" for level in range(16, 0, -1)], "", "its median time is 0.1 s, below 1.5 s"),
    ],
)
def test_a_workload_that_cannot_be_replayed_is_skipped_and_named(rows, more, why):
    sidecar = SIDECAR.replace("[knobs", "min_median_time_s = 1.5\n[knobs") + more
    found = table(*rows, *ROWS, sidecar=sidecar)
    assert [each.name for each in found.workloads] == ["a"]
    assert [each.workload for each in found.skipped] == ["b"]
    assert why in found.skipped[0].why


def test_a_default_between_two_levels_is_no_row():
    with pytest.raises(UsageError, match=r"no row for the default setting freq=3\.25"):
        table(*ROWS, sidecar=SIDECAR + "default = 3.25\n")


def test_a_grid_with_a_hole_at_the_default():
    header = "workload,freq,threads,time_s,energy_j,ipc,outlier"
    rows = [f"a,{f},{t},1,1,1,0" for f in range(1, 5) for t in range(1, 5) if f * t < 16]
    with pytest.raises(UsageError, match="freq=max threads=max"):
        table(*rows, header=header, sidecar=SIDECAR + "[knobs.threads]\nrole = 'active_cpus'\nunit = '1'\n")


def test_when_none_is_left_the_table_is_refused():
    with pytest.raises(UsageError, match="no workload can be replayed; 'a': it has 4 settings") as caught:
        table(*ROWS[:4])
    assert "10 settings" in (caught.value.hint or "")


BAD = "a,1.5,{},0.5,0"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a,1.5,fast,10,0.5,0", "line 14: time_s is 'fast', not a number"),
        ("a,1.5,nan,10,0.5,0", "line 14: time_s is 'nan', not a number"),
        ("a,1.5,inf,10,0.5,0", "line 14: time_s is 'inf', not a number"),
        ("a,1.5,1e999,10,0.5,0", "line 14: time_s is '1e999', not a number"),
        ("a,1.5,1_0,10,0.5,0", "line 14: time_s is '1_0', not a number"),
        ("a,1.5,\u0661,10,0.5,0", "line 14: time_s is '\u0661', not a number"),
        ("a,1.5,,10,0.5,0", "line 14: time_s is empty"),
        ("a,1.5,0,10,0.5,0", "line 14: time_s is 0, and must be more than zero"),
        ("a,1.5,1,-3,0.5,0", "line 14: energy_j is -3, and must be more than zero"),
        ("a,1.5,1,NA,0.5,0", "line 14: energy_j is 'NA', not a number"),
        ("a,x,1,10,0.5,0", "line 14: freq is 'x', not a number"),
        ("a,,1,10,0.5,0", "line 14: freq is empty"),
        ("a,1.5,1,10,high,0", "line 14: ipc is 'high', not a number"),
        ("a,1.5,1,10,-inf,0", "line 14: ipc is '-inf', not a number"),
        (",1.5,1,10,0.5,1", "line 14: workload is empty"),
        ("a,1.5,1,10,0.5", "line 14: 5 cells, and the header has 6"),
        ("a,1.5,1,10,0.5,0,0", "line 14: 7 cells, and the header has 6"),
        ('a,"1.5,1,10,0.5,0', "line 14: not CSV"),
        ('a,1.5,1,10,"0.5"x,0', "line 14: not CSV"),
        ("\n\na,1.5,0,10,0.5,0", "line 16: time_s is 0"),
        ('"a\nb",1.5,1,10,0.5,0\na,1.5,0,10,0.5,0', "line 16: time_s is 0"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(row, why):
    with pytest.raises(UsageError, match=re.escape(why)):
        table(*ROWS, row)


@pytest.mark.parametrize(
    ("header", "sidecar", "why"),
    [
        (HEADER.replace("time_s", "seconds"), SIDECAR, "line 1: there is no column 'time_s'"),
        (HEADER.replace("freq", "f"), SIDECAR, "line 1: there is no column 'freq'"),
        (HEADER.replace("ipc", "cpi"), SIDECAR, "line 1: there is no column 'ipc'"),
        (HEADER.replace("ipc", "freq"), SIDECAR, "line 1: two columns are named 'freq'"),
        (HEADER, SIDECAR.replace("outlier ==", "Outlier =="), "where looks at column 'Outlier', and there is none"),
        (HEADER, SIDECAR.replace("outlier ==", "outlier +"), "where takes comparisons only, not 'outlier + 0'"),
        (HEADER, SIDECAR.replace("outlier ==", "workload <"), "where compares the word 'a' with the number 0"),
    ],
)
def test_a_bad_header_or_filter_is_refused(header, sidecar, why):
    with pytest.raises(UsageError, match=re.escape(why)):
        table(*ROWS, header=header, sidecar=sidecar)


def test_a_table_without_rows():
    with pytest.raises(UsageError, match="no rows"):
        table()
    with pytest.raises(UsageError, match="empty"):
        parse_table("", parse_sidecar(SIDECAR), name="t")


@pytest.mark.parametrize(
    "texts",
    [
        [f"{2.4 + level / 10:.1f}" for level in range(10)],
        [repr(0.1 * level) for level in range(1, 13)],  # 0.30000000000000004 and its like
        [str(level) for level in range(1, 113)],
        [str(level - 6) for level in range(12)],
        [f"{level}e-3" for level in range(1, 11)],
        [str(10**15 + level) for level in range(10)],
        [f"{level}e200" for level in range(1, 11)],
        ["-0.25", "-0.0", "1e-9", "2e-9", "3e8", "1", "2", "3", "4", "5"],
    ],
)
@pytest.mark.parametrize("role", ["frequency", "memory_frequency", "active_cpus", "power_cap", "other"])
def test_a_number_comes_back_as_the_table_has_it(texts, role):
    sidecar = SIDECAR.replace('"frequency"', f'"{role}"')
    found = table(*(f"a,{text},{number + 1},1,1,0" for number, text in enumerate(texts)), sidecar=sidecar)
    workload = found.workloads[0]
    numbers = {runs[0].time_s: found.numbers(setting)["freq"] for setting, runs in workload.runs.items()}
    assert [float(numbers[at + 1]) for at in range(len(texts))] == [float(text) for text in texts]
    # Not every reader of JSON has whole numbers beyond those of a float.
    assert all(isinstance(number, float) or abs(number) < 2**53 for number in numbers.values())
    problem = Problem(space=workload.space, objective=Objective.EDP, donors=(workload.donor(),))
    back = parse_request(line(Request(id="a", ask="suggest", problem=problem, trials=())))
    assert isinstance(back, Request) and back.problem == problem


def test_two_texts_of_one_number_are_one_setting():
    assert len(table(*ROWS, "a,1.20,1,1,1,0", "a,+12e-1,1,1,1,0").workloads[0].runs[Setting(freq=12)]) == 3


def test_numbers_too_far_apart_for_any_unit():
    with pytest.raises(UsageError, match="too far apart"):
        table(*ROWS, "a,1e-300,1,1,1,0", "a,1e300,1,1,1,0")


def test_forty_counters_and_a_byte_order_mark(tmp_path):
    counters = [f"ctr_{number}" for number in range(40)]
    lines = [",".join(["workload", "level", *counters, "s", "j"])]
    lines += [f"w,{level}," + ",".join([f"{level}e9"] * 40) + f",{level},2" for level in range(1, 12)]
    (tmp_path / "big.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    (tmp_path / "big.toml").write_text(
        '[table]\nworkload = "workload"\ntime_s = "s"\nenergy_j = "j"\nfeatures = "ctr_*"\n'
        '[knobs.level]\nrole = "other"\n'
    )
    found = read_table(tmp_path / "big.csv")
    assert found.name == "big"
    (donor,) = (each.donor() for each in found.workloads)
    assert len(donor.trials) == 11
    assert donor.trials[2].context == dict.fromkeys(sorted(counters), 3e9)
    assert donor.trials[2].requested == donor.trials[2].setting == Setting(level=3)


def test_a_donor_has_the_repetitions_and_the_features_of_all_of_them():
    donor = table(*ROWS, "a,3.2,9.0,40,0.7,0").workloads[0].donor()
    (trial,) = (each for each in donor.trials if each.setting == Setting(freq=32))
    assert [(run.time_s, run.energy_j) for run in trial.runs] == [(1.5, 21.0), (9.0, 40.0)]
    assert trial.context == {"ipc": pytest.approx(0.6)}


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*none.csv: No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is not a file"):
        read_table(tmp_path)
    with pytest.raises(UsageError, match="is not a file"):
        read_table(Path("/dev/zero"))
    path = tmp_path / "t.csv"
    path.write_bytes(b"workload,freq\na,1\nb,\xff\n")
    with pytest.raises(UsageError, match=r"t.csv: line 3: not UTF-8"):
        read_table(path)
    path.write_text("\n".join([HEADER, *ROWS]))
    with pytest.raises(UsageError, match="no sidecar"):
        read_table(path)


cells = st.sampled_from(["a", "b", "1", "2.5", "-1", "0", "nan", "", '"', "1e400", "x\n", "é", "\0", "\r", " 3 "])
lines_of_cells = st.lists(st.lists(cells, min_size=5, max_size=7).map(",".join), max_size=14).map("\n".join)


@given(st.binary(max_size=200) | lines_of_cells.map(str.encode))
def test_no_bytes_do_anything_but_load_or_be_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.with_suffix(".toml").write_text(SIDECAR)
    for start in (b"", HEADER.encode() + b"\n", "\n".join([HEADER, *ROWS, ""]).encode()):
        path.write_bytes(start + data)
        try:
            found = read_table(path)
        except UsageError as error:
            assert "\n" not in str(error) and error.hint
        else:
            assert found.workloads


def scored_workloads(side):
    """The workloads that are scored, with defaults and medians, worked out anew from the CSV."""
    form = tomllib.loads(side.read_text())
    columns, knobs = form["table"], form["knobs"]
    column, value = re.fullmatch(r"(\w+) == (\S+)", form.get("filter", {}).get("where", "x == 0")).groups()
    least_s = form.get("filter", {}).get("min_median_time_s", 0)
    with side.with_suffix(".csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row.get(column, value)) == float(value)]
    tasks = {}
    for name in {row[columns["workload"]] for row in rows}:
        own = [row for row in rows if row[columns["workload"]] == name]
        points = {}
        for row in own:
            points.setdefault(tuple(float(row[knob]) for knob in knobs), []).append(row)
        tops = tuple(max(point[at] for point in points) for at in range(len(knobs)))
        assert {declared.get("default", "max") for declared in knobs.values()} == {"max"}
        if median(float(row[columns["time_s"]]) for row in own) >= least_s and len(points) >= 10 and tops in points:
            tasks[name] = (
                tops,
                {
                    point: tuple(
                        median(float(row[columns[figure]]) for row in them) for figure in ("time_s", "energy_j")
                    )
                    for point, them in points.items()
                },
            )
    return tasks


@pytest.mark.shared
@pytest.mark.skipif(not TABLES.is_dir(), reason="needs the measured tables beside the checkout")
@pytest.mark.parametrize("side", sorted(TABLES.glob("*.toml")), ids=lambda path: path.stem)
def test_measured_tables_load_as_they_are_scored(side):
    found = read_table(side.with_suffix(".csv"))

    def point(setting):
        return tuple(map(float, found.numbers(setting).values()))

    ours = {
        each.name: (point(each.space.default), {point(setting): each.figures(setting) for setting in each.runs})
        for each in found.workloads
    }
    assert ours == scored_workloads(side)
