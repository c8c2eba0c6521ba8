"""Progress that work tells of itself, one JSON object a line.

    {"done": 1234}              how much has been done, since some moment of its own
    {"n": 1}                    or how much more
    {"latency_s": 0.012}        how long one request took: beside either, or alone as one that is done

Other keys are passed over; a line without any of these, or that is no JSON, is counted and otherwise forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwtune.domain.errors import WorkloadError
from hwtune.host.heartbeat import Inbox
from hwtune.workload.latency import Latencies

_MOST_POINTS = 4096
_LEAST_POINTS = 5  # of a window: one more or less at its ends is a fifth
_Amount = Annotated[float, Field(ge=0.0, le=1e15)]

# Clock in ns, and what has been done by then.
Progress = tuple[tuple[int, float], ...]


class Beat(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    done: _Amount | None = None
    n: _Amount | None = None
    latency_s: Annotated[float, Field(gt=0.0, le=1e6)] | None = None


def parse_beat(line: bytes) -> Beat | None:
    """A line, None where it says nothing that is meant for us.

    >>> parse_beat(b'{"done": 12, "phase": "load"}').done
    12.0
    """
    try:
        beat = Beat.model_validate_json(line)
    except ValidationError:
        return None
    return None if beat == Beat() else beat


class Heartbeat:
    """What is heard from an inbox, between a `begin` and the next.

    A connection's first `done` says where it begins to count, and one that is less than before that it has begun
    again; several connections add up.

    Args:
        inbox: opened here, and closed with `close`.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._counted: dict[int, float] = {}
        self._points: list[tuple[int, float]] = []
        self.latencies = Latencies()
        self.garbage = 0
        self.environment = inbox.environment
        inbox.open(self._hear)

    def close(self) -> None:
        """Hear nothing more."""
        self._inbox.close()

    def begin(self) -> None:
        """A run or window begins: forget what was done before."""
        self._inbox.flush()
        with self._lock:
            self._points = []
            self.latencies = Latencies()

    def flush(self) -> None:
        """Hear what was sent before now."""
        self._inbox.flush()

    @property
    def progress(self) -> Progress:
        """What has been done since the beginning, by when; the moments are some thousand at most."""
        with self._lock:
            return tuple(self._points)

    def _hear(self, connection: int, now_ns: int, line: bytes | None) -> None:
        beat = None if line is None else parse_beat(line)
        with self._lock:
            if beat is None:
                self.garbage += 1
                return
            if beat.latency_s is not None:
                self.latencies.add((beat.latency_s,))
            one = 1.0 if beat.done is None else 0.0
            self._add(now_ns, self._grown(connection, beat.done) + (one if beat.n is None else beat.n))

    def _grown(self, connection: int, done: float | None) -> float:
        if done is None:
            return 0.0
        before = self._counted.get(connection, done)
        self._counted[connection] = done
        return max(done - before, 0.0)

    def _add(self, now_ns: int, more: float) -> None:
        points = self._points
        before = points[-1][1] if points else 0.0
        if points and points[-1][0] >= now_ns:
            points[-1] = (points[-1][0], before + more)
        else:
            points.append((now_ns, before + more))
        if len(points) > _MOST_POINTS:
            # The ends stay; of the middle, every other moment.
            self._points = [points[0], *points[1:-1:2], points[-1]]


class HeartbeatRate:
    """The rate at which a run gets on, from its first word of progress to its last.

    Starting and ending a program is not its work.

    Args:
        heartbeat: where it is heard.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def begin(self) -> None:
        """See `Source.begin`."""

    def look(self) -> None:
        """See `Source.look`."""

    def end(self, said: str, errors: str) -> float:
        """See `Source.end`."""
        points = self._heartbeat.progress
        if len(points) < 2:
            garbage = self._heartbeat.garbage
            heard = f"{garbage} lines that say nothing of it" if garbage else "nothing"
            raise WorkloadError(
                f"two words of progress are needed, and {len(points)} came ({heard} besides)",
                hint='write lines like {"done": 12} to the Unix socket that $HWTUNE_HEARTBEAT names',
            )
        (start_ns, before), (end_ns, done) = points[0], points[-1]
        return (done - before) / ((end_ns - start_ns) / 1e9)


class WindowRate:
    """The rate over a whole window of a machine that runs all the time.

    Args:
        heartbeat: where it is heard.
        now_ns: the machine's clock.
    """

    def __init__(self, heartbeat: Heartbeat, now_ns: Callable[[], int]) -> None:
        self._heartbeat, self._now_ns = heartbeat, now_ns
        self._start_ns = 0

    def begin(self) -> None:
        """See `Source.begin`."""
        self._start_ns = self._now_ns()

    def look(self) -> None:
        """See `Source.look`."""

    def end(self, said: str, errors: str) -> float:
        """See `Source.end`."""
        end_ns, points = self._now_ns(), self._heartbeat.progress
        if len(points) < _LEAST_POINTS:
            raise WorkloadError(
                f"a window with {len(points)} words of progress tells no rate; {_LEAST_POINTS} are needed",
                hint="a longer --window, or more frequent words; does the program know the socket?",
            )
        return points[-1][1] / ((end_ns - self._start_ns) / 1e9)
