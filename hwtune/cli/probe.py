"""`hwtune probe`: what this machine offers, and what to do about each "no"."""

from __future__ import annotations

from hwtune.cli.options import Json, Root, Simulate


def probe(root: Root = None, simulate: Simulate = None, as_json: Json = False) -> None:
    """Show what this machine offers: knobs, sensors, permissions, conflicts; reads only.

    Exit status 3 when there is no cpufreq, after everything that was found is shown.
    """
    from hwtune.cli.host import open_host
    from hwtune.cli.probe_find import probe_machine
    from hwtune.cli.probe_text import probe_text
    from hwtune.domain.errors import Unsupported

    with open_host(root=root, simulate=simulate) as opened:
        document = probe_machine(opened)
    print(document.model_dump_json() if as_json else probe_text(document))
    if not document.cpufreq.available:
        raise Unsupported(document.cpufreq.why or "no cpufreq", hint=document.cpufreq.hint)
