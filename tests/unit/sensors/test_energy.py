import errno

import pytest

from hwtune.domain.sample import EnergyReading, Resolution
from hwtune.sensors.energy import find_energy_source

RAPL = "/sys/class/powercap/intel-rapl"
SUPPLY = "/sys/class/power_supply"
HWMON = "/sys/class/hwmon"
RANGE = "262143328850"


def zone(suffix, name, energy, control=RAPL):
    path = f"{control}:{suffix}"
    return {f"{path}/name": name, f"{path}/energy_uj": energy, f"{path}/max_energy_range_uj": RANGE}


def battery(name="BAT0", **files):
    files = {"type": "Battery", "status": "Discharging", "power_now": "4830000"} | files
    return {f"{SUPPLY}/{name}/{file}": text for file, text in files.items() if text is not None}


def hwmon(number, name, place="", **files):
    files = {"name": name} | files
    return {f"{HWMON}/hwmon{number}{place}/{file}": text for file, text in files.items()}


def zones(source):
    return [reading.zone for reading in source.read(0)]


TWO_SOCKETS = {
    **zone("0", "package-0", "100"),
    **zone("0:0", "core", "10"),
    **zone("0:1", "uncore", "20"),
    **zone("0:2", "dram", "30"),
    **zone("1", "package-1", "200"),
    **zone("1:0", "dram", "40"),
    **zone("2", "psys", "1000"),
    **zone("0", "package-0", "101", control=f"{RAPL}-mmio"),
    **zone("0:0", "dram", "31", control=f"{RAPL}-mmio"),
    f"{RAPL}/enabled": "1",
}


def test_packages_are_counted_once(tree):
    source = find_energy_source(tree(TWO_SOCKETS))
    assert (source.quality, source.name, source.why) == ("package", "RAPL package-0 + package-1", None)
    assert [(each.source, each.zone, each.energy_uj, each.max_energy_uj) for each in source.read(0)] == [
        ("powercap", "package-0", 100, int(RANGE)),
        ("powercap", "package-1", 200, int(RANGE)),
    ]
    assert source.period_s == 1.0
    assert not source.emulated


def test_a_package_listed_twice_is_counted_once(tree):
    source = find_energy_source(tree({**zone("0", "package-0", "1"), **zone("1", "package-0", "1")}))
    assert zones(source) == ["package-0"]


def test_dies_of_a_package_are_zones_of_their_own(tree):
    texts = {**zone("0", "package-0-die-0", "1"), **zone("1", "package-0-die-1", "2")}
    assert zones(find_energy_source(tree(texts))) == ["package-0-die-0", "package-0-die-1"]


def test_psys_only_without_any_package(tree):
    psys = find_energy_source(tree(zone("0", "psys", "7")))
    assert (psys.quality, zones(psys)) == ("node", ["psys"])
    mmio = find_energy_source(tree(zone("0", "package-0", "5", control=f"{RAPL}-mmio")))
    assert (mmio.quality, mmio.read(0)[0].energy_uj) == ("package", 5)


def test_mmio_alone(tree):
    source = find_energy_source(tree(zone("0", "package-0", "5", control=f"{RAPL}-mmio")))
    assert (source.quality, source.read(0)[0].energy_uj) == ("package", 5)


def test_unreadable_counter_falls_to_the_next_source_and_says_why(tree):
    files = tree({**zone("0", "package-0", "1"), **battery()})
    files.refuse[f"{RAPL}:0/energy_uj"] = errno.EACCES
    source = find_energy_source(files)
    assert source.quality == "battery"
    assert "energy_uj" in source.why
    assert "root" in source.hint


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EAGAIN])
def test_one_unreadable_package_is_not_half_a_machine(tree, code):
    files = tree(TWO_SOCKETS)
    files.refuse[f"{RAPL}:1/energy_uj"] = code
    source = find_energy_source(files)
    assert (source.quality, source.read(0)) == ("none", ())
    assert f"{RAPL}:1/energy_uj" in source.why
    assert source.hint


def test_a_zone_that_stops_answering_reads_none(tree):
    files = tree(zone("0", "package-0", "1"))
    source = find_energy_source(files)
    files.refuse[f"{RAPL}:0/energy_uj"] = errno.EAGAIN
    assert source.read(0)[0].energy_uj is None


def test_a_counter_that_is_no_number_is_no_source(tree):
    source = find_energy_source(tree(zone("0", "package-0", "<unknown>")))
    assert source.quality == "none"


@pytest.mark.parametrize("place", ["", "/device"])
def test_power_meter_here_and_under_device(tree, place):
    meter = hwmon(1, "power_meter", place, power1_average="32500000", power1_average_interval="300")
    source = find_energy_source(tree(meter))
    assert (source.quality, source.name) == ("node", "power meter power_meter (hwmon1/power1)")
    assert source.read(0) == (
        EnergyReading(
            zone="hwmon1/power1",
            source="hwmon",
            power_uw=32_500_000,
            resolution=Resolution(update_s=0.3, average_s=0.3, step=0.001),
        ),
    )
    assert source.period_s == 0.1
    assert "RAPL" in source.why


@pytest.mark.parametrize(
    ("interval", "period_s"), [("1", 0.1), ("1000", 0.25), ("60000", 1.0), ("0", 0.25), ("", 0.25)]
)
def test_power_is_sampled_between_a_tenth_and_a_second(tree, interval, period_s):
    meter = hwmon(1, "power_meter", power1_average="1", power1_average_interval=interval)
    assert find_energy_source(tree(meter)).period_s == period_s


@pytest.mark.parametrize(
    ("file", "text", "place", "emulated"),
    [
        ("power1_oem_info", "hwtune-rig", "/device", True),
        ("power1_model_number", "emulated", "/device", True),
        ("power1_model_number", "emulated", "", True),
        ("power1_oem_info", "Dell", "/device", False),
    ],
)
def test_an_emulated_meter_is_called_so(tree, file, text, place, emulated):
    files = tree(hwmon(1, "power_meter", "/device", power1_average="5"))
    tree({f"{HWMON}/hwmon1{place}/{file}": text})
    source = find_energy_source(files)
    assert source.emulated is emulated
    assert source.name.startswith("emulated meter" if emulated else "power meter")


def test_of_several_power_meters_one_is_the_machine(tree):
    texts = {**hwmon(1, "power_meter", power1_average="9"), **hwmon(2, "power_meter", power1_average="4")}
    assert zones(find_energy_source(tree(texts))) == ["hwmon1/power1"]


def test_instantaneous_power_and_energy_by_label(tree):
    instant = find_energy_source(tree(hwmon(3, "fam15h_power", power1_input="17000000", power1_crit="1")))
    assert (instant.quality, instant.read(0)[0].power_uw) == ("package", 17_000_000)
    sockets = hwmon(
        4,
        "amd_energy",
        energy1_label="Ecore000",
        energy1_input="1",
        energy2_label="Esocket0",
        energy2_input="50",
        energy3_label="Esocket1",
        energy3_input="60",
    )
    source = find_energy_source(tree(sockets))
    assert [(each.zone, each.energy_uj) for each in source.read(0)] == [("hwmon4/energy2", 50), ("hwmon4/energy3", 60)]


@pytest.mark.parametrize("name", ["amdgpu", "i915", "sfp", "ina226", "d5next"])
def test_a_meter_of_something_else_is_named_and_not_used(tree, name):
    source = find_energy_source(tree(hwmon(1, name, power1_input="9", power1_average="9", energy1_input="9")))
    assert source.quality == "none"
    assert name in source.why


def test_battery_by_current_and_voltage_of_either_sign(tree):
    files = tree(battery(power_now=None, current_now="-395000", voltage_now="12229000"))
    source = find_energy_source(files)
    assert (source.quality, source.name) == ("battery", "battery BAT0")
    assert source.read(0)[0].power_uw == 395_000 * 12_229_000 // 1_000_000


def test_second_battery_that_rests_gives_nothing(tree):
    source = find_energy_source(tree({**battery(), **battery("BAT1", status="Not charging", power_now="7")}))
    assert [each.power_uw for each in source.read(0)] == [4_830_000, 0]


@pytest.mark.parametrize(
    "texts",
    [
        battery(status="Charging"),
        battery(status="Full"),
        {**battery(), f"{SUPPLY}/AC/type": "Mains", f"{SUPPLY}/AC/online": "1"},
        {**battery(), f"{SUPPLY}/ucsi/type": "USB", f"{SUPPLY}/ucsi/online": "1"},
        battery(scope="Device"),
        battery(power_now=None),
        {f"{SUPPLY}/BAT0/status": "Discharging"},
        {},
    ],
    ids=["charging", "full", "mains", "usb", "mouse", "no power", "no type", "none"],
)
def test_battery_is_refused(tree, texts):
    source = find_energy_source(tree(texts))
    assert (source.quality, source.read(0)) == ("none", ())
    assert "battery" in source.why or "BAT0" in source.why


def test_plugging_in_ends_the_battery_readings(tree):
    mains = {f"{SUPPLY}/AC/type": "Mains", f"{SUPPLY}/AC/online": "0"}
    source = find_energy_source(tree({**battery(), **mains}))
    assert source.read(0)[0].power_uw == 4_830_000
    tree({f"{SUPPLY}/AC/online": "1"})
    assert source.read(0)[0].power_uw is None


def test_order_of_preference(tree):
    tree(battery())
    files = tree(hwmon(1, "power_meter", power1_average="9"))
    assert find_energy_source(files).quality == "node"
    tree(TWO_SOCKETS)
    assert find_energy_source(files).quality == "package"


@pytest.mark.parametrize(
    ("limits", "most_w"),
    [
        ({"power_limit_uw": ("65000000", "84000000"), "max_power_uw": ("65000000", "0")}, 336.0),
        ({"power_limit_uw": ("4090000000", "4090000000"), "max_power_uw": ("95000000", "0")}, 2000.0),
        ({"power_limit_uw": ("15000000",), "max_power_uw": ("28000000",)}, 112.0),
        ({"power_limit_uw": ("<unknown>",)}, 2000.0),
        ({}, 2000.0),
    ],
    ids=["limits", "no limit set", "what it was built for", "unreadable", "none"],
)
@pytest.mark.parametrize("enabled", ["1", "0", None])
def test_the_most_a_package_draws_is_told_by_its_limits_while_they_are_enforced(tree, limits, most_w, enabled):
    texts = zone("0", "package-0", "5") | ({} if enabled is None else {f"{RAPL}:0/enabled": enabled})
    for what, values in limits.items():
        texts |= {f"{RAPL}:0/constraint_{index}_{what}": value for index, value in enumerate(values)}
    (reading,) = find_energy_source(tree(texts)).read(0)
    assert reading.max_power_w == (most_w if enabled == "1" else 2000.0)


@pytest.mark.parametrize(("range_uj", "unit_uj"), [("262143328850", 61.035), ("65532610987", 15.258)])
def test_the_unit_of_a_counter_is_in_its_range(tree, range_uj, unit_uj):
    texts = zone("0", "package-0", "5") | {f"{RAPL}:0/max_energy_range_uj": range_uj}
    resolution = find_energy_source(tree(texts)).resolution
    assert resolution.step * 1e6 == pytest.approx(unit_uj)
    assert (resolution.update_s, resolution.learned) == (0.001, False)


def test_a_small_counter_is_read_often_enough_not_to_wrap_unseen(tree):
    """16 bits of 61 mJ at 2 kW at most: full after 2 s, less the second by which a reading may be late."""
    texts = zone("0", "package-0", "5") | {f"{RAPL}:0/max_energy_range_uj": "4000000000"}
    assert find_energy_source(tree(texts)).period_s == pytest.approx(0.5)
    texts |= {f"{RAPL}:0/max_energy_range_uj": "1000"}
    assert find_energy_source(tree(texts)).period_s == 0.1


def test_how_often_a_gauge_is_refreshed_is_learned_from_its_readings(tree):
    source = find_energy_source(tree(battery()))
    assert source.resolution.update_s is None
    for second in range(60):
        tree(battery(power_now=str(4_000_000 + second // 5 * 1000)))
        (reading,) = source.read(second * 10**9)
    assert reading.resolution.learned and source.resolution == reading.resolution
    assert 5.0 <= reading.resolution.update_s <= 7.0


def test_what_is_announced_is_not_learned(tree):
    source = find_energy_source(
        tree(hwmon(1, "power_meter", "/device", power1_average="5", power1_average_interval="1000"))
    )
    assert source.resolution == Resolution(update_s=1.0, average_s=1.0, step=0.001)
    sockets = hwmon(4, "amd_energy", energy1_label="Esocket0", energy1_input="1")
    amd = find_energy_source(tree({**sockets, f"{HWMON}/hwmon1/device/name": "none"}))
    assert amd.resolution == Resolution(update_s=0.001, step=2**-16)


def test_no_source_has_no_resolution(tree):
    source = find_energy_source(tree())
    assert (source.resolution, source.doubt, source.checked) == (None, None, False)
