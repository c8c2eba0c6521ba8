"""A sidecar with anything in it: a table, or one line that says where and what."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError
from hwtune.sim.table import read_table

LINES = [
    "[table]",
    'workload = "workload"',
    'time_s = "time_s"',
    'energy_j = "energy_j"',
    'features = "i*"',
    "[filter]",
    'where = "outlier == 0"',
    "min_median_time_s = 0.5",
    "[knobs.freq]",
    'unit = "GHz"',
    'role = "frequency"',
    'default = "max"',
]
CSV = "\n".join(
    [
        "workload,freq,time_s,energy_j,ipc,outlier",
        *(f"a,{1 + n / 5:g},{24 / (5 + n)},{10 + n},0.5,0" for n in range(12)),
    ]
)
values = (
    st.sampled_from(["nan", "inf", "-1", "1e400", "[]", "{}", "true", "''", '"max"', '"*"', '"["', "1979-05-27", '"é"'])
    | st.text(max_size=8).map(json.dumps)
    | st.integers(-(10**25), 10**25).map(str)
    | st.text(max_size=6)
)


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sidecar_changed_anywhere_is_one_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["value", "value", "drop", "double", "key"])):
            case "value":
                lines[at] = f"{lines[at].split('=')[0]}= {data.draw(values)}"
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case _:
                lines[at] = data.draw(st.text(max_size=8)) + lines[at]
        if not lines:
            break
    table = tmp_path / "t.csv"
    table.write_text(CSV)
    sidecar = "\n".join(lines).encode("utf-8", "replace")
    table.with_suffix(".toml").write_bytes(sidecar)
    try:
        found = read_table(table)
    except UsageError as error:
        assert error.hint and error.exit_status == 2 and "\n" not in str(error)
    else:
        assert found.workloads and found.knobs
    assert (table.read_text(), table.with_suffix(".toml").read_bytes()) == (CSV, sidecar)
