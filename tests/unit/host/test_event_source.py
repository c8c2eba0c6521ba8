"""PMUs as sysfs names them: texts of real machines, and any other text."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.host.event_source import (
    core_pmus,
    encode,
    find_event,
    parse_cpu_list,
    parse_event,
    parse_format,
    parse_type,
)
from hwtune.host.fs import LinuxFS

DEVICES = "sys/bus/event_source/devices"


def tree(root: Path, files: dict[str, str]) -> LinuxFS:
    for name, text in files.items():
        path = root / DEVICES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return LinuxFS(root)


@pytest.mark.parametrize(("text", "cpus"), [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("5", (5,)), ("\n", ())])
def test_cpu_list(text, cpus):
    assert parse_cpu_list(text) == cpus


@given(st.text(alphabet="0123456789,- x\n", max_size=6))
def test_cpu_list_of_odd_text_is_numbers_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert all(isinstance(cpu, int) for cpu in parse_cpu_list(text))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("event=0x00", {"event": 0}),  # msr/tsc
        ("event=0x00,umask=0x4\n", {"event": 0, "umask": 4}),  # cpu/slots, Ice Lake
        ("event=0x3c,in_tx=1,in_tx_cp=1", {"event": 0x3C, "in_tx": 1, "in_tx_cp": 1}),  # cpu/cycles-ct
        ("event=194,any", {"event": 194, "any": 1}),
        ("config=0xFFFFffffFFFFffff", {"config": 2**64 - 1}),
    ],
)
def test_events_as_drivers_write_them(text, terms):
    assert parse_event(text) == terms


@pytest.mark.parametrize(
    "text", ["", "event=?", "event=", "event=1;2", "=1", "event=-1", "event=1,,umask=2", "event=1e3"]
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises(ValueError, match="not an event"):
        parse_event(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("config:0-7", ("config", tuple(range(8)))),
        ("config:0-7,32-35\n", ("config", (*range(8), 32, 33, 34, 35))),  # AMD's event
        ("config1:0-15", ("config1", tuple(range(16)))),
        ("config:23", ("config", (23,))),
    ],
)
def test_formats_as_drivers_write_them(text, where):
    assert parse_format(text) == where


@pytest.mark.parametrize("text", ["", "config", "config:", "config:64", "config:7-", "config:a", "config:9-3", ":0-7"])
def test_what_is_no_format_is_refused(text):
    with pytest.raises(ValueError, match="not"):
        parse_format(text)


@given(st.text(alphabet="event=umask0x1af9,?-:config \n\0é", max_size=24))
def test_any_text_is_terms_and_bits_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert all(isinstance(value, int) and value >= 0 for value in parse_event(text).values())
    with contextlib.suppress(ValueError):
        field, bits = parse_format(text)
        assert field and bits and all(0 <= bit < 64 for bit in bits)


@given(st.text(alphabet="0123456789-_ ٣\n", max_size=12))
def test_the_number_of_a_pmu_is_32_bits_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert 0 <= parse_type(text) < 2**32
    assert parse_type("4294967295\n") == 2**32 - 1
    for odd in ("4294967296", "-1", "", "1_0", "٣"):
        with pytest.raises(ValueError, match="not the number"):
            parse_type(odd)


@given(st.integers(0, 2**12 - 1), st.integers(0, 255))
def test_each_bit_of_a_term_lands_where_its_format_says(event, umask):
    formats = {"event": parse_format("config:0-7,32-35"), "umask": parse_format("config:8-15")}
    config = encode({"event": event, "umask": umask}, formats)
    assert config & 0xFF == event & 0xFF
    assert config >> 32 == event >> 8
    assert config >> 8 & 0xFFFFFF == umask


@pytest.mark.parametrize(
    ("terms", "formats"),
    [({"event": 256}, {"event": "config:0-7"}), ({"ldlat": 3}, {"ldlat": "config1:0-15"}), ({"event": 0}, {})],
    ids=["too large", "another field", "no format"],
)
def test_what_does_not_fit_is_refused(terms, formats):
    with pytest.raises(ValueError, match="does not fit"):
        encode(terms, {name: parse_format(text) for name, text in formats.items()})


def test_an_event_of_a_tree(tmp_path):
    files = tree(
        tmp_path,
        {
            "msr/type": "9",
            "msr/events/mperf": "event=0x02",
            "msr/format/event": "config:0-63",
            "cpu/type": "4",
            "cpu/events/slots": "event=0x00,umask=0x4",
            "cpu/events/odd": "event=?",
            "cpu/events/latency": "event=0xcd,ldlat=3",
            "cpu/format/event": "config:0-7",
            "cpu/format/umask": "config:8-15",
            "cpu/format/ldlat": "config1:0-15",
        },
    )
    assert find_event(files, "msr", "mperf") == (9, 2)
    assert find_event(files, "cpu", "slots") == (4, 0x400)
    assert [
        find_event(files, *absent) for absent in (("cpu", "odd"), ("cpu", "latency"), ("cpu", "no"), ("gpu", "no"))
    ] == [None] * 4


def test_kinds_of_cores(tmp_path):
    """`cpus` is of a core's PMU, `cpumask` of an uncore's; a machine with one kind of core has no kinds."""
    one = {"armv8_pmuv3_0/type": "8", "armv8_pmuv3_0/cpus": "0-3", "power/type": "20", "power/cpumask": "0"}
    assert core_pmus(tree(tmp_path / "one", one)) == ()
    two = {"cpu_atom/type": "10", "cpu_atom/cpus": "4-7", "cpu_core/type": "4", "cpu_core/cpus": "0-3"}
    found = core_pmus(tree(tmp_path / "two", {**one, **two, "cpu_lowpower/type": "odd", "cpu_lowpower/cpus": "8"}))
    assert [(pmu.name, pmu.type, pmu.cpus) for pmu in found] == [
        ("armv8_pmuv3_0", 8, (0, 1, 2, 3)),
        ("cpu_core", 4, (0, 1, 2, 3)),
        ("cpu_atom", 10, (4, 5, 6, 7)),
    ]
