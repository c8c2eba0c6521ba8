"""Where the refreshed prior is, and what it says."""

from __future__ import annotations

import sys
from pathlib import Path

from hwtune.config import Config
from hwtune.domain.errors import UsageError
from hwtune.planner.prior_file import FILE_NAME, read_prior


def prior_path(config: Config) -> Path:
    """Where `hwtune train` writes."""
    return config.paths.state_dir / FILE_NAME


def refreshed_prior(config: Config) -> str | None:
    """The text of the prior in the state directory; None for the one that ships with the planner.

    One that cannot be used is reported and passed over: the shipped one is always good.
    """
    try:
        return read_prior(prior_path(config))
    except UsageError as error:
        print(f"warning: {error}; the shipped prior is used instead", file=sys.stderr)
        return None
