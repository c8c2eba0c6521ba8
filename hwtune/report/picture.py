"""A session as one wide SVG file by itself: what was tried, and the time-energy front."""

from __future__ import annotations

from html import escape

from hwtune.domain.errors import UsageError
from hwtune.report.axes import HEIGHT, WIDTH, text
from hwtune.report.plots import STYLE, THEME, front, tried
from hwtune.report.view import View, front_dots

_GAP, _HEAD = 24, 52


def picture(view: View) -> str:
    """The two plots beside each other under the verdict, with their colours for light and dark.

    Raises:
        UsageError: a session without energy, or with nothing in it.
    """
    order = tried(view.dots, objective=view.objective, quality=view.objective_quality)
    pareto = front(
        front_dots(view),
        max_slowdown=view.max_slowdown,
        time_quality=view.time_quality,
        energy_quality=view.energy_quality,
        units=(view.time_unit, view.energy_unit),
    )
    if order is None or pareto is None:
        raise UsageError("this session has no time-energy front to draw", hint="take one with energy figures")
    width, height = 2 * WIDTH + _GAP, _HEAD + HEIGHT
    basis = f"{view.machine}, {view.workload}: every figure is {view.objective_quality}"
    # Inside another SVG a plot has its own size, not that of the page.
    own = f"svg svg.plot{{width:{WIDTH}px;height:{HEIGHT}px}}.plot .head{{font-size:17px;font-weight:650}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="picture-title">'
        f'<title id="picture-title">{escape(view.headline)} ({escape(basis)})</title>'
        f"<style>{THEME}{STYLE}{own}.back{{fill:var(--paper)}}</style>"
        f'<rect class="back" width="{width}" height="{height}" rx="8"/><g class="plot">'
        + text(14, 26, view.headline, kind="head")
        + text(14, 44, basis, kind="soft")
        + "</g>"
        + _placed(order, 0)
        + _placed(pareto, WIDTH + _GAP)
        + "</svg>\n"
    )


def _placed(plot: str, x: int) -> str:
    return plot.replace("<svg ", f'<svg x="{x}" y="{_HEAD}" width="{WIDTH}" height="{HEIGHT}" ', 1)
