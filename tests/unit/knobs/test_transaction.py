"""The transaction on a kernel that answers as a real one does."""

import errno

import pytest
from bench import CPU, CPUFREQ, MACHINES, acpi, amd, biglittle, intel
from fake.faults import Killed

from hwtune.domain.errors import PermissionDenied, VerifyError
from hwtune.domain.knob import Setting
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

P0 = f"{CPUFREQ}/policy0"
P1 = f"{CPUFREQ}/policy1"


def open_transaction(kernel, run_dir, verb="tune"):
    backend = CpufreqBackend(kernel, baseline=journals.baseline(run_dir, kernel))
    return Transaction(backend, run_dir=run_dir, verb=verb, files=kernel)


def results(applied):
    return {outcome.knob: outcome.result for outcome in applied.outcomes}


def die(transaction):
    """What the kernel does for a killed process: locks fall, nothing else happens."""
    transaction._lock.release()


SCRIPTS = {
    "acpi": [
        Setting(governor="ondemand", max=2_000_000, min=1_200_000, boost="0", **{"ondemand.up_threshold": 60}),
        Setting(governor="performance", max=1_600_000, min=1_600_000),
        Setting(governor="conservative", max=3_200_000, min=800_000, boost="1", **{"conservative.up_threshold": 50}),
    ],
    "intel": [
        Setting(governor="performance", max=3_000_000),
        Setting(governor="powersave", epp="power", max=1_000_000, min=900_000, boost="0"),
        Setting(governor="performance", max=2_000_000, min=2_000_000, boost="1"),
    ],
    "amd": [
        Setting(governor="powersave", epp="power", max=2_000_000, boost="0"),
        Setting(governor="performance", max=4_900_000, min=3_000_000, boost="1"),
    ],
    "biglittle": [
        Setting({"policy0.governor": "schedutil", "policy4.governor": "ondemand", "policy4.ondemand.up_threshold": 70}),
        Setting({"boost": "0", "policy0.max": 900_000, "policy4.max": 1_400_000, "policy4.min": 1_400_000}),
        Setting({"policy0.governor": "ondemand", "policy0.ondemand.up_threshold": 50, "boost": "1"}),
    ],
}


@pytest.mark.parametrize("name", MACHINES)
def test_everything_changes_and_goes_back(name, tmp_path):
    kernel = MACHINES[name]()
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        for setting in SCRIPTS[name]:
            applied = transaction.apply(setting)
            assert set(results(applied).values()) <= {"applied", "already"}, applied.outcomes
            assert {knob: applied.effective[knob] for knob in setting} == dict(setting)
        assert kernel.texts() != start
        assert (tmp_path / "journal.json").exists()
    assert kernel.texts() == start
    assert not (tmp_path / "journal.json").exists()


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
def test_killed_at_any_write_then_restored(name, moment, tmp_path):
    whole = MACHINES[name]()
    with open_transaction(whole, tmp_path / "whole") as transaction:
        for setting in SCRIPTS[name]:
            transaction.apply(setting)
    total = len(whole.writes)  # writes of the restoring among them: it is killed at each of those too
    assert total > len(SCRIPTS[name])
    for number in range(total):
        kernel, run_dir = MACHINES[name](), tmp_path / str(number)
        start = kernel.texts()
        kernel.kill(moment, number)
        transaction = open_transaction(kernel, run_dir)
        transaction.__enter__()
        with pytest.raises(Killed):
            for setting in SCRIPTS[name]:
                transaction.apply(setting)
            transaction.restore()
        die(transaction)
        kernel.spare()
        report = restore_machine(CpufreqBackend(kernel), run_dir=run_dir, files=kernel)
        assert kernel.texts() == start, (name, moment, number, whole.writes[number])
        assert report is None or not report.foreign
        assert journals.load(run_dir, kernel) is None


def test_the_next_transaction_restores_an_orphan_first(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    first = open_transaction(kernel, tmp_path)
    first.__enter__()
    first.apply(Setting(max=1_200_000, governor="powersave"))
    die(first)
    with open_transaction(kernel, tmp_path) as second:
        assert second.recovered is not None
        assert kernel.texts() == start
        second.apply(Setting(max=2_000_000))
    assert kernel.texts() == start


def test_only_what_differs_is_written(tmp_path):
    kernel = acpi()
    with open_transaction(kernel, tmp_path) as transaction:
        applied = transaction.apply(Setting(governor="schedutil", boost="1", max=3_600_000))
        assert set(results(applied).values()) == {"already"}
        assert kernel.writes == []
        assert not (tmp_path / "journal.json").exists()


def test_limits_never_cross(tmp_path):
    kernel = acpi()
    with open_transaction(kernel, tmp_path) as transaction:
        for low, high in ((800, 1200), (2400, 3200), (800, 800), (3600, 3600), (1200, 2000)):
            begun = len(kernel.writes)
            transaction.apply(Setting(min=low * 1000, max=high * 1000))
            limits = {path: value for path, value in kernel.texts().items() if "_freq" in path}
            assert int(limits[f"{P0}/scaling_min_freq"]) == low * 1000
            assert int(limits[f"{P0}/scaling_max_freq"]) == high * 1000
            assert len(kernel.writes) - begun == 4
    assert kernel.policies[0].min_request == 800_000
    assert not kernel.crossed


def test_thresholds_never_cross(tmp_path):
    kernel = acpi()
    with open_transaction(kernel, tmp_path) as transaction:
        for down, up in ((20, 80), (85, 95), (5, 10), (50, 100)):
            names = {"conservative.down_threshold": down, "conservative.up_threshold": up}
            applied = transaction.apply(Setting({"governor": "conservative", **names}))
            assert "rejected" not in results(applied).values()
            assert {name: applied.effective[name] for name in names} == names


def test_a_request_hidden_by_the_firmware_is_taken_back(tmp_path):
    """Reads as it was found, but only as long as the firmware holds it down."""
    kernel = acpi()
    for policy in kernel.policies:
        policy.min_request = policy.max_request = 2_000_000
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(min=2_400_000, max=3_600_000))
        kernel.kernel.firmware_limit(2_000_000)
    kernel.kernel.firmware_limit(None)
    assert {policy.limits[0] for policy in kernel.policies} == {2_000_000}


def test_a_refusal_that_passes_is_tried_again(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="powersave", max=1_200_000))
        kernel.refuse_once(f"{P0}/scaling_governor", f"{P1}/scaling_max_freq")
    assert kernel.texts() == start


def test_a_clamped_request_does_not_come_back(tmp_path):
    """The kernel remembers a minimum above the maximum; both limits are written, so it is overwritten."""
    kernel = acpi()
    kernel.write(f"{P0}/scaling_max_freq", "2000000")
    kernel.write(f"{P0}/scaling_min_freq", "2400000")
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.min": 2_000_000, "policy0.max": 3_600_000}))
        assert kernel.texts()[f"{P0}/scaling_min_freq"] == "2000000"


def test_clamped_by_firmware_is_said_and_restored(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=1_200_000))
        kernel.kernel.firmware_limit(2_400_000)
        applied = transaction.apply(Setting(max=3_200_000))
        assert applied.effective["max"] == 2_400_000
        assert results(applied)["max"] == "clamped"
        kernel.kernel.firmware_limit(None)
    assert kernel.texts() == start


def test_a_limit_of_the_firmware_is_not_made_a_request(tmp_path):
    kernel = acpi()
    kernel.kernel.firmware_limit(2_400_000)
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=1_200_000))
    assert kernel.texts() == start
    kernel.kernel.firmware_limit(None)
    assert kernel.texts()[f"{P0}/scaling_max_freq"] == "3600000"


def test_a_rejected_write_locks_the_knob_and_nothing_else(tmp_path, caplog):
    kernel = intel()
    start = kernel.texts()
    kernel.refuse({f"{CPU}/intel_pstate/no_turbo": errno.EPERM})
    with open_transaction(kernel, tmp_path) as transaction:
        first = transaction.apply(Setting(boost="0", max=1_000_000))
        assert results(first) == {"boost": "rejected", "max": "applied"}
        assert next(o for o in first.outcomes if o.knob == "boost").errno == errno.EPERM
        assert str(first.outcomes[0]) == "boost = 0 rejected by the kernel (EPERM)"
        assert first.effective["boost"] == "1"
        writes = len(kernel.writes)
        second = transaction.apply(Setting(boost="0", max=1_000_000))
        assert results(second)["boost"] == "rejected"
        assert len(kernel.writes) == writes
    assert sum("boost" in message or "no_turbo" in message for message in caplog.messages) == 1
    assert kernel.texts() == start


def test_without_rights_nothing_is_left_behind(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    kernel.refuse({f"{P0}/scaling_max_freq": errno.EACCES})
    with pytest.raises(PermissionDenied), open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=1_200_000, governor="powersave"))
    assert kernel.texts() == start


def test_a_mismatch_rolls_everything_back(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    kernel.kernel.boost.switch_all = lambda on: None  # accepted, and without effect
    with open_transaction(kernel, tmp_path) as transaction:
        with pytest.raises(VerifyError) as caught:
            transaction.apply(Setting(governor="powersave", boost="0"))
        assert caught.value.exit_status == 6
        assert kernel.texts() == start
        assert not (tmp_path / "journal.json").exists()


def test_epp_is_left_alone_while_the_governor_locks_it(tmp_path):
    kernel = amd()
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        applied = transaction.apply(Setting(governor="performance", epp="power"))
        assert "epp" not in results(applied)
        assert not any("preference" in path for path, _ in kernel.writes)
        assert applied.effective["epp"] == "performance"
    # The EPP that performance has made the driver forget is back.
    assert kernel.texts() == start


def test_no_turbo_is_told_as_boost(tmp_path):
    kernel = intel()
    with open_transaction(kernel, tmp_path) as transaction:
        (outcome,) = transaction.apply(Setting(boost="0")).outcomes
        assert (outcome.wanted, outcome.effective, outcome.result) == ("0", "0", "applied")
        assert kernel.texts()[f"{CPU}/intel_pstate/no_turbo"] == "1"


def test_numbers_are_taken_for_the_epp(tmp_path):
    kernel = intel()
    with open_transaction(kernel, tmp_path) as transaction:
        assert transaction.apply(Setting(epp="70")).effective["epp"] == "70"
        assert results(transaction.apply(Setting(epp="192")))["epp"] == "applied"
        assert kernel.texts()[f"{P0}/energy_performance_preference"] == "balance_power"


def test_tunables_of_the_original_governor_come_back(tmp_path):
    kernel = biglittle()
    kernel.write(f"{P0}/ondemand/up_threshold", "71")
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.governor": "powersave"}))
        assert f"{P0}/ondemand/up_threshold" not in kernel.texts()
        transaction.apply(Setting({"policy0.governor": "ondemand"}))
        assert kernel.texts()[f"{P0}/ondemand/up_threshold"] == "95"
    assert kernel.texts() == start


def test_userspace_gets_its_speed_back(tmp_path):
    kernel = acpi()
    for policy in kernel.policies:
        kernel.write(f"{CPUFREQ}/policy{policy.number}/scaling_governor", "userspace")
        kernel.write(f"{CPUFREQ}/policy{policy.number}/scaling_setspeed", "1600000")
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="powersave"))
    assert kernel.texts() == start
