"""What the journal says before and after a stage of writes.

Ahead of the writes it claims every text that is about to be asked for, beside those that are ours already; behind them
the last request and what the kernel has made of it, also on attributes that are coupled to what was written. A process
killed between the two leaves nothing that the journal does not explain.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hwtune.knobs.attributes import Write
from hwtune.knobs.journal import Journal


def claimed(journal: Journal, writes: Sequence[Write], texts: Mapping[str, str]) -> Journal:
    """The journal that allows these writes.

    Args:
        journal: what is known before.
        writes: what is to be written.
        texts: path → text of every attribute now.
    """
    original, ours = dict(journal.original), dict(journal.ours)
    for write in writes:
        if write.path in texts:
            # What was there before us is the older truth; what has come up since is new to the journal.
            original.setdefault(write.path, texts[write.path])
        ours[write.path] = (*ours.get(write.path, ()), write.value)
    return journal.model_copy(update={"original": original, "ours": ours})


def written(
    ahead: Journal,
    writes: Sequence[Write],
    refused: Collection[str],
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> Journal:
    """The journal behind the writes.

    Args:
        ahead: the journal that allowed them.
        writes: what was tried.
        refused: paths of what the kernel did not take.
        before: path → text of every attribute before them.
        after: path → text of every attribute now.
    """
    ours = dict(ahead.ours)
    for write in writes:
        if write.path in refused:
            # Nothing was written: what was ours before still is, and no more.
            earlier = ours[write.path][:-1]
            ours = {**ours, write.path: earlier} if earlier else {p: t for p, t in ours.items() if p != write.path}
        else:
            ours[write.path] = _distinct(write.value, after.get(write.path))
    for path in ahead.original.keys() - {write.path for write in writes}:
        # A tunable that came back with its governor has lost the value it was found with.
        if path in after and after[path] != before.get(path, ahead.original[path]):
            ours[path] = _distinct(*ours.get(path, ())[:1], after[path])
    return ahead.model_copy(update={"ours": ours})


def handed_over(journal: Journal, foreign: Mapping[str, str]) -> Journal:
    """The journal that has let attributes go: what somebody else has set is what they go back to when ours moves them.

    Args:
        journal: what is known before.
        foreign: path → text that somebody else has set.
    """
    return journal.model_copy(
        update={
            "original": {**journal.original, **foreign},
            "ours": {path: texts for path, texts in journal.ours.items() if path not in foreign},
        }
    )


def _distinct(*texts: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text is not None))
