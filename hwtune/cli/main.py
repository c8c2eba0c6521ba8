"""The command line: one function per verb, and the one place where errors become a line, a hint and an exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from hwtune import __version__
from hwtune.cli import (
    capture,
    compare,
    config,
    gradcheck,
    knobs,
    probe,
    quarantine,
    replay,
    report,
    selftest,
    sweep,
    train,
    tune,
    why,
)
from hwtune.cli.options import spread_optional_values
from hwtune.cli.signals import Terminated, exit_status, raise_on_sigterm
from hwtune.domain.errors import HwtuneError

app = typer.Typer(
    name="hwtune",
    help="Learn how this machine answers to its power knobs, set them, prove what it saved, put everything back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 ok, 1 failed, 2 usage, 3 unsupported hardware or no sensor, 4 permission, 5 daemon not "
    "running, 6 verify mismatch, 7 locked by another writer, 130/143 signals.",
)
# A command to measure has options of its own: ours end where it begins.
_RUNS_A_COMMAND = {"allow_interspersed_args": False}

app.command()(probe.probe)
app.command()(capture.capture)
app.command(context_settings=_RUNS_A_COMMAND)(tune.tune)
# Its settings come before the command, so that its options may, too.
app.command()(compare.compare)
app.command(context_settings=_RUNS_A_COMMAND)(sweep.sweep)
app.command()(replay.replay)
app.command()(train.train)
app.command(context_settings=_RUNS_A_COMMAND)(gradcheck.gradcheck)
app.command()(why.why)
app.command()(report.report)
app.command()(knobs.apply)
app.command()(knobs.restore)
app.command()(knobs.reset)
app.command()(knobs.status)
app.command()(selftest.selftest)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(config.app, name="config")

_debug = False


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hwtune {__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show log lines, and tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every verb."""
    global _debug  # noqa: PLW0603  one flag of the process, read where its errors end
    _debug = debug
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


def main() -> None:
    """Entry point of `hwtune`: run a verb, end with its exit status."""
    raise_on_sigterm()
    sys.exit(_run(spread_optional_values(sys.argv[1:])))


def _run(arguments: list[str]) -> int:
    try:
        return int(app(args=arguments, standalone_mode=False) or 0)
    except HwtuneError as error:
        if _debug:
            raise
        return _say(str(error), error.hint, error.exit_status)
    except TyperException as error:
        describe = getattr(error, "format_message", error.__str__)  # names the option a value is wrong for
        return _say(describe().rstrip("."), "`hwtune --help` lists the verbs, `hwtune VERB --help` their options", 2)
    except (KeyboardInterrupt, Terminated) as ending:
        return exit_status(ending)
    except BrokenPipeError:
        # The reader of a pipe has gone (`hwtune probe | head`): nothing is wrong, and nothing more can be said.
        sys.stdout = None
        return 0
    except OSError as error:
        if _debug:
            raise
        return _say(str(error), "the system refused it: a full disk, a limit, a missing right? --debug shows where", 1)


def _say(message: str, hint: str | None, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return status
