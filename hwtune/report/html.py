"""One session as one HTML page: no script, nothing fetched, light and dark, readable on a phone.

Everything that comes from a session is escaped: a workload is a command line, and may hold any character.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from hwtune.report.axes import digits
from hwtune.report.plots import STYLE, THEME, Dot, Guess, front, predicted, tried
from hwtune.report.view import Comparison, View, change_text, front_dots

_PAGE = """
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:64rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:break-word}
header p,footer,.note,figcaption,th,.tag{color:var(--soft)}
header p{margin:0}
h1{margin:.2rem 0 .6rem;font-size:1.75rem;line-height:1.2;font-weight:650;text-wrap:balance}
h2{margin:2.75rem 0 .75rem;font-size:1.05rem;font-weight:650}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,monospace}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th{font-weight:500;text-align:left;font-size:.85rem;vertical-align:bottom}
th,td{padding:.4rem 1rem .4rem 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
td.n,th.n{text-align:right;white-space:nowrap}
tbody th{color:var(--ink);font-size:inherit}
tr.chosen td{background:var(--panel);font-weight:600}
.tag{font-size:.75rem;white-space:nowrap;font-weight:400}
.tag.simulated,.tag.emulated,.tag.predicted{color:var(--chosen)}
.interval{color:var(--soft);font-size:.85em;font-weight:400;white-space:nowrap}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.5rem 2rem}
figure{margin:0;min-width:0}
figcaption,.note{font-size:.85rem;margin:.35rem 0 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.25rem;margin:0;font-size:.92rem}
dt{color:var(--soft)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
footer{margin-top:3rem;font-size:.85rem}
@media (max-width:36rem){body{padding:1.25rem 1rem 3rem}h1{font-size:1.4rem}thead{display:none}
table,tbody{display:block}tr{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));padding:.5rem 0;
border-bottom:1px solid var(--line)}.interval,td.n{white-space:normal}
.settings tr{grid-template-columns:max-content max-content minmax(0,1fr);column-gap:.75rem}
tr.chosen{background:var(--panel)}th,td,td.n{border:0;padding:.1rem 0;text-align:left}
.receipt th,td.difference,td.figure{grid-column:1/-1}td.figure br{display:none}
.receipt td[data-name] .tag{display:block}
td[data-name]::before{content:attr(data-name) " ";color:var(--soft);font-size:.85rem;font-weight:400}}
@media print{body{max-width:none}figure,tr{break-inside:avoid}}
"""


def page(view: View) -> str:
    """The whole document."""
    sections = (_receipt(view), _plots(view), _settings(view), _conditions(view))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>hwtune: {escape(view.workload)} on {escape(view.machine)}</title>"
        f"<style>{THEME}{_PAGE}{STYLE}</style></head>\n<body><header>"
        f"<p>{escape(view.machine)} · <code>{escape(view.workload)}</code> · {_tag(view.objective_quality)}</p>"
        f"<h1>{escape(view.headline)}</h1><p>{escape(view.explanation)}</p></header>\n<main>"
        + "\n".join(sections)
        + f"</main>\n<footer>Session {view.number}, written by hwtune {escape(view.version)}. "
        "Nothing on this page is loaded from elsewhere.</footer></body></html>\n"
    )


def _tag(quality: str) -> str:
    return f'<span class="tag {quality.partition(" ")[0]}">{escape(quality)}</span>'


def _table(kind: str, caption: str, head: Iterable[str], rows: Iterable[str]) -> str:
    return (
        f'<div class="scroll"><table class="{kind}" aria-label="{escape(caption)}">'
        f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _receipt(view: View) -> str:
    """Default against chosen, figure by figure, then the knobs."""
    rows = [_comparison(comparison) for comparison in view.comparisons]
    rows += [
        f'<tr><th scope="row">{escape(change.knob)}</th><td data-name="default">{escape(change.default)}</td>'
        f'<td data-name="chosen">{escape(change.chosen)}</td><td class="difference"></td></tr>'
        for change in view.changes
    ]
    if not rows:
        return ""
    head = [f'<th scope="col">{words}</th>' for words in ("", "default", "chosen", "chosen against default")]
    note = (
        "Figures are medians of the runs in the search, which were not interleaved: no receipt."
        if any(comparison.ratio is None for comparison in view.comparisons)
        else "Figures are medians of interleaved runs; the difference is the typical ratio of neighbouring runs."
    )
    table = _table("receipt", "default against chosen", head, rows)
    return f'<h2>Default and chosen</h2>{table}<p class="note">{note}</p>'


def _comparison(figure: Comparison) -> str:
    values = "".join(
        f'<td data-name="{name}">{digits(value)} {escape(figure.unit)} {_tag(quality)}</td>'
        if value is not None
        else "<td></td>"
        for name, value, quality in (
            ("default", figure.default, figure.quality),
            ("chosen", figure.chosen, figure.chosen_quality),
        )
    )
    difference = "not verified"
    if figure.ratio is not None and figure.ratio_95 is not None:
        low, high = figure.ratio_95
        difference = (
            f"{change_text(figure.ratio)} "
            f'<span class="interval">95 % interval {change_text(low)} … {change_text(high)}</span> '
            f"{_tag(figure.quality)}"
        )
    return f'<tr><th scope="row">{escape(figure.name)}</th>{values}<td class="difference">{difference}</td></tr>'


def _plots(view: View) -> str:
    order = tried(view.dots, objective=view.objective, quality=view.objective_quality)
    pareto = front(
        front_dots(view),
        max_slowdown=view.max_slowdown,
        time_quality=view.time_quality,
        energy_quality=view.energy_quality,
        units=(view.time_unit, view.energy_unit),
    )
    guesses = (
        predicted(view.dots, quantity="time", unit=view.time_unit, quality=view.time_quality),
        predicted(view.dots, quantity="energy", unit=view.energy_unit, quality=view.energy_quality),
    )
    drawn = [guess for guess in guesses if guess]
    return (
        '<h2>How it was found</h2><div class="plots">'
        + _figure(
            [order] if order else [],
            "Lower is better. The line is what would have been kept after each evaluation."
            if order
            else "Nothing was measured that could be drawn.",
        )
        + _figure(
            [pareto] if pareto else [],
            "Lower left is better. The stepped line joins the settings that no other one beats in both."
            if pareto
            else "Without energy figures there is no time-energy front.",
        )
        + f"</div><h2>Predicted against {escape(view.time_quality)}</h2>"
        + _figure(
            drawn,
            "Each setting was predicted before it was run. On the dotted diagonal both are the same."
            if drawn
            else "Nothing was predicted: nothing was tried after the default.",
        )
    )


def _figure(plots: Sequence[str], caption: str) -> str:
    body = f'<div class="plots">{"".join(plots)}</div>' if len(plots) > 1 else "".join(plots)
    return f"<figure>{body}<figcaption>{escape(caption)}</figcaption></figure>"


def _settings(view: View) -> str:
    """Every evaluated setting."""
    with_energy = any(dot.energy_j is not None for dot in view.dots)
    own_objective = with_energy and not view.objective.startswith(("energy", "time"))
    heads = [("#", "", "n"), ("reason", "", ""), ("what it changes", "", "")]
    heads += [(f"time ({view.time_unit})", view.time_quality, "n")]
    heads += [(f"energy ({view.energy_unit})", view.energy_quality, "n")] if with_energy else []
    heads += [(view.objective, view.objective_quality, "n")] if own_objective else []
    head = [
        f'<th scope="col" class="{kind}">{escape(words)}{"<br>" + _tag(quality) if quality else ""}</th>'
        for words, quality, kind in heads
    ]
    names = [f"{words}, {quality}" for words, quality, _ in heads[3:]]
    rows = []
    for dot in view.dots:
        early = dot.stopped_after_s
        time = digits(dot.time_s) if early is None else f"stopped after {digits(early)} s"
        figures: list[tuple[str, Guess | None]] = [(time, dot.time_guess)]
        figures += [(_bound(dot, dot.energy_j), dot.energy_guess)] if with_energy else []
        figures += [(_bound(dot, dot.objective), None)] if own_objective else []
        rows.append(
            f'<tr{" class=chosen" if dot.chosen else ""}><td class="n">{dot.number}</td><td>{escape(dot.reason)}</td>'
            f"<td>{escape(dot.label)}</td>{''.join(map(_measured, names, figures))}</tr>"
        )
    return f"<h2>Every evaluated setting</h2>{_table('settings', 'every evaluated setting', head, rows)}"


def _bound(dot: Dot, value: float | None) -> str:
    """A figure, or what it is of a run that was stopped early."""
    if value is None:
        return ""
    return digits(value) if dot.stopped_after_s is None else f"at least {digits(value)}"


def _measured(name: str, figure: tuple[str, Guess | None]) -> str:
    """A measured figure over the interval that was predicted for it."""
    words, guess = figure
    if guess is not None:
        words += f'<br> <span class="interval">predicted {digits(guess.low)} … {digits(guess.high)}</span>'
    return f'<td class="n figure" data-name="{escape(name)}">{words}</td>'


def _conditions(view: View) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in view.conditions)
    return f"<h2>Conditions</h2><dl>{items}</dl>"
