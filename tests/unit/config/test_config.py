"""Layers over layers, each value with its origin; whatever is wrong is a ConfigError that names its source."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hwtune.config import KEYS, check_file, config_files, load_config, load_layers, parse_ratio
from hwtune.domain.errors import ConfigError, HwtuneError, PermissionDenied, UsageError
from hwtune.domain.objective import Objective

VENDOR, MAIN, DROP_IN = "usr/lib/hwtune", "etc/hwtune/hwtune.toml", "etc/hwtune/conf.d"


def put(root: Path, path: str, text: str | bytes) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def fails(root: Path, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(root, environ or {}, flags)
    assert caught.value.exit_status == 2
    return caught.value


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)


def test_defaults_where_nothing_is_configured(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    layered = load_layers(tmp_path, {})
    assert layered.config.paths.run_dir == Path("/run/hwtune")
    assert layered.config.paths.state_dir == Path("/var/lib/hwtune")
    assert layered.config.tune.objective is Objective.EDP
    assert layered.config.tune.on_exit == "restore"
    assert layered.config.tune.abandon is False
    assert set(layered.origins) == set(KEYS)
    assert set(layered.origins.values()) == {"default"}


@pytest.mark.usefixtures("as_user")
def test_a_user_has_xdg_directories(tmp_path):
    paths = load_config(tmp_path, {"XDG_RUNTIME_DIR": "/run/user/1000", "XDG_STATE_HOME": "/s", "HOME": "/h"}).paths
    assert (paths.run_dir, paths.state_dir) == (Path("/run/user/1000/hwtune"), Path("/s/hwtune"))
    paths = load_config(tmp_path, {"HOME": "/h", "XDG_STATE_HOME": "relative/is/ignored"}).paths
    assert (paths.run_dir, paths.state_dir) == (
        Path("/h/.local/state/hwtune/run"),
        Path("/h/.local/state/hwtune"),
    )


def test_each_layer_lies_over_the_one_before(tmp_path):
    """Six layers set the budget; taking them away one by one uncovers the next."""
    layers = [
        (put(tmp_path, f"{VENDOR}/10-a.toml", "[tune]\nbudget = 11\nruns = 7"), 11),
        (put(tmp_path, f"{VENDOR}/20-b.toml", "[tune]\nbudget = 12"), 12),
        (put(tmp_path, MAIN, "[tune]\nbudget = 13"), 13),
        (put(tmp_path, f"{DROP_IN}/1.toml", "[tune]\nbudget = 15"), 15),
        (put(tmp_path, f"{DROP_IN}/2.toml", "[tune]\nbudget = 16"), 16),
    ]
    put(tmp_path, f"{DROP_IN}/3.toml.bak", "not read [[[")
    assert config_files(tmp_path) == tuple(file for file, _ in layers)

    both = load_layers(tmp_path, {"HWTUNE_TUNE_BUDGET": "17"}, {"tune.budget": 18})
    assert (both.config.tune.budget, both.origins["tune.budget"]) == (18, "flag")
    env = load_layers(tmp_path, {"HWTUNE_TUNE_BUDGET": "17"}, {"tune.budget": None})
    assert (env.config.tune.budget, env.origins["tune.budget"]) == (17, "HWTUNE_TUNE_BUDGET")
    while layers:
        file, value = layers[-1]
        layered = load_layers(tmp_path, {})
        assert (layered.config.tune.budget, layered.origins["tune.budget"]) == (value, str(file))
        assert layered.config.tune.runs == 7, "a layer replaces keys, not sections"
        assert layered.origins["tune.runs"] == str(layers[0][0])
        layers.pop()[0].unlink()


def test_values_are_read_by_type(tmp_path):
    tune = load_config(
        tmp_path,
        {
            "HWTUNE_TUNE_OBJECTIVE": "energy",
            "HWTUNE_TUNE_MAX_SLOWDOWN": "5%",
            "HWTUNE_TUNE_KNOBS": "max, governor",
            "HWTUNE_TUNE_MAX_RISK": "0.1",
            "HWTUNE_TUNE_ON_EXIT": "keep",
        },
    ).tune
    assert tune.objective is Objective.ENERGY
    assert tune.max_slowdown == pytest.approx(0.05)
    assert tune.knobs == ("max", "governor")
    assert (tune.max_risk, tune.on_exit) == (0.1, "keep")

    put(tmp_path, MAIN, '[tune]\nmax_slowdown = 0.2\nknobs = ["epp"]\n[planner]\ncommand = ["ssh", "box", "a b"]')
    config = load_config(tmp_path, {"HWTUNE_TUNE_MAX_SLOWDOWN": "none"})
    assert config.tune.max_slowdown is None, "a later layer can take a bound away"
    assert config.tune.knobs == ("epp",)
    assert config.planner.command == ("ssh", "box", "a b")
    command = {"HWTUNE_PLANNER_COMMAND": "ssh box 'a b'", "HWTUNE_PLANNER_TIMEOUT_S": "2.5"}
    assert load_config(tmp_path, command).planner.command == ("ssh", "box", "a b")
    assert load_config(tmp_path, command).planner.timeout_s == 2.5


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[tune]\nbugdet = 3", "tune.bugdet", "did you mean tune.budget?"),
        ("[tunes]\nbudget = 3", "tunes", "did you mean tune?"),
        ("objective = 'edp'", "objective", "did you mean tune.objective?"),
        ("[planner]\nobjective = 'edp'", "planner.objective", "did you mean tune.objective?"),
        ("[paths]\nxyzzy = 1", "paths.xyzzy", "there are: paths.run_dir"),
        ("tune = 3", "tune", "write [tune]"),
        ("[tune]\nbudget = -1", "tune.budget", None),
        ("[tune]\nbudget = true", "tune.budget", None),
        ("[tune]\nbudget = 2.5", "tune.budget", None),
        ("[tune]\nobjective = 'edb'", "tune.objective", None),
        ("[tune]\nmax_slowdown = -0.1", "tune.max_slowdown", None),
        ("[tune]\nmax_slowdown = '5 percent'", "tune.max_slowdown", None),
        ("[tune]\nmax_slowdown = nan", "tune.max_slowdown", None),
        ("[tune]\nmax_risk = 1", "tune.max_risk", None),
        ("[tune]\nknobs = []", "tune.knobs", None),
        ("[tune]\nknobs = [3]", "tune.knobs", None),
        ("[tune]\non_exit = 'ask'", "tune.on_exit", None),
        ("[paths]\nrun_dir = 'here'", "paths.run_dir", None),
        ("[paths]\nrun_dir = '/a\\u0000'", "paths.run_dir", None),
        ('[planner]\ncommand = "a \'b"', "planner.command", None),
        ("[planner]\ncommand = ''", "planner.command", None),
        ("[planner]\ntimeout_s = inf", "planner.timeout_s", None),
    ],
)
def test_what_does_not_fit_names_file_and_key(tmp_path, text, key, hint):
    file = put(tmp_path, MAIN, text.replace("'/a\\u0000'", '"/a\\u0000"'))
    error = fails(tmp_path)
    assert (error.source, error.key) == (str(file), key)
    assert str(error).startswith(f"{file}: ") and "\n" not in str(error)
    assert error.hint and (hint is None or error.hint.startswith(hint))
    with pytest.raises(ConfigError, match=r"hwtune\.toml"):
        check_file(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[tune]\nbudget = \n", r"line 2"),
        (b"[tune]\nbudget = 3\nbudget = 4\n", r"line 3"),
        (b"[tune]\n# \xff\n", r"not TOML"),
        (b"a = " + b"[" * 5000, r"not TOML"),
        (b"a = " + b"9" * 5000, r"not TOML"),
    ],
)
def test_what_is_not_toml_names_file_and_line(tmp_path, text, message):
    put(tmp_path, f"{DROP_IN}/x.toml", text)
    error = fails(tmp_path)
    assert error.source.endswith("conf.d/x.toml")
    assert message in str(error)


def test_the_environment_is_as_strict_as_a_file(tmp_path):
    error = fails(tmp_path, {"HWTUNE_TUNE_BUDGE": "3"})
    assert error.hint == "did you mean HWTUNE_TUNE_BUDGET?"
    assert fails(tmp_path, {"HWTUNE_RUN_DIR": "/x"}).hint == "did you mean HWTUNE_PATHS_RUN_DIR?"
    error = fails(tmp_path, {"HWTUNE_TUNE_BUDGET": "many"})
    assert (error.source, error.key) == ("HWTUNE_TUNE_BUDGET", "tune.budget")
    assert fails(tmp_path, {}, {"tune.budget": 0}).source == "flag"
    assert load_config(tmp_path, {"HWTUNER": "not ours", "_HWTUNE_COMPLETE": "typer's"}).tune.budget == 14


def test_what_cannot_be_read_is_said(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="No such file"):
        check_file(tmp_path / "absent.toml")
    put(tmp_path, MAIN, "").unlink()
    (tmp_path / MAIN).mkdir()
    assert "Is a directory" in str(fails(tmp_path))

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionDenied):
        check_file(tmp_path / "secret.toml")


def test_a_root_that_is_an_archive_has_no_configuration(tmp_path):
    archive = put(tmp_path, "machine.tar", b"")
    assert config_files(archive) == ()


def test_check_says_what_a_file_sets(tmp_path):
    file = put(tmp_path, "new.toml", "[tune]\nruns = 2\nbudget = 3\n[planner]\ntimeout_s = 9")
    assert check_file(file) == ("planner.timeout_s", "tune.budget", "tune.runs")


@given(st.floats(min_value=0.0, max_value=1e6))
def test_a_ratio_in_percent_is_a_hundredth(value):
    assert parse_ratio(f" {value!r}% ") == value / 100.0
    assert parse_ratio(repr(value)) == value


@given(st.text(max_size=8))
@example("%")
@example("-1%")
@example("infinity")
@example("nan%")
def test_a_ratio_is_a_number_or_a_usage_error(text):
    try:
        assert parse_ratio(text) >= 0.0
    except UsageError as error:
        assert error.hint


scalars = st.one_of(
    st.booleans().map(lambda value: str(value).lower()),
    st.integers(-(10**320), 10**320).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["1979-05-27T07:32:00Z", "07:32:00", "[]", "{}", "[[1]]", "{a = 1}", '"5%"', '"none"', '""', '"a b"']
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.tuples(st.sampled_from([*KEYS, "tune", "x.y", '"a.b"']), scalars), max_size=4))
def test_any_toml_gives_a_config_or_a_config_error(tmp_path, lines):
    file = put(tmp_path, "fuzz.toml", "\n".join(f"{key} = {value}" for key, value in lines))
    try:
        keys = check_file(file)
    except ConfigError as error:
        assert error.source == str(file)
    else:
        assert len(keys) == len([line for line in lines if line != ("tune", "{}")])  # an empty section sets nothing


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80))
def test_any_bytes_give_a_config_or_an_error_of_ours(tmp_path, content):
    put(tmp_path, MAIN, content)
    try:
        load_config(tmp_path, {})
    except HwtuneError as error:
        assert error.hint
    else:
        tomllib.loads(content.decode())
