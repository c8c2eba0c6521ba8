"""Shares as a picture: one panel for each method and objective, its median and its 10-90 % band over runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from peers.scoring import Score

_OWN, _BAND, _REFERENCE = "#0b5fa5", "#a9cdea", "#888888"


def draw(scores: Sequence[Score], path: Path) -> None:
    """Write the SVG; the first method's median is dashed in the other panels."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    objectives = list(dict.fromkeys(each.objective for each in scores))
    methods = list(dict.fromkeys(each.method for each in scores))
    budget = len(scores[0].share)
    evaluations = np.arange(1, budget + 1)
    with mpl.rc_context({"svg.hashsalt": "shares", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(1.2 + 1.7 * len(methods), 0.6 + 1.9 * len(objectives)), layout="constrained")
        panels = figure.subplots(len(objectives), len(methods), squeeze=False, sharex=True, sharey=True)
        for row, objective in zip(panels, objectives, strict=True):
            reference = _shares(scores, objective, methods[0])
            for panel, method in zip(row, methods, strict=True):
                shares = _shares(scores, objective, method)
                panel.grid(color="#dddddd", linewidth=0.5)
                panel.set(ylim=(-0.1, 1.05), xlim=(1, max(budget, 2)))
                if not len(shares):
                    continue
                low, middle, high = np.quantile(shares, (0.1, 0.5, 0.9), axis=0)
                panel.fill_between(evaluations, low, high, color=_BAND, linewidth=0)
                if method != methods[0] and len(reference):
                    panel.plot(evaluations, np.median(reference, axis=0), color=_REFERENCE, linestyle="--", linewidth=1)
                panel.plot(evaluations, middle, color=_OWN, linewidth=1.5)
            row[0].set_ylabel(f"{objective}\nshare of headroom")
        for panel, method in zip(panels[0], methods, strict=True):
            panel.set_title(method)
        for panel in panels[-1]:
            panel.set_xlabel("evaluations")
        figure.suptitle(
            f"Median and 10-90 % of runs on measured tables; dashed: the median of {methods[0]}", fontsize=8
        )
        figure.savefig(path, format="svg", metadata={"Date": None})


def _shares(scores: Sequence[Score], objective: str, method: str) -> np.ndarray:
    return np.array([each.share for each in scores if (each.objective, each.method) == (objective, method)])
