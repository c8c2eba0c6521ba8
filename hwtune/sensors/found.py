"""Files that a sensor has found and reads at every sample: found once, and again when one of them has gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from hwtune.domain.errors import HostError
from hwtune.host.fs import HostFS
from hwtune.host.reader import Reader, open_reader
from hwtune.sensors.optional import parse_int

_log = logging.getLogger(__name__)
Name = TypeVar("Name")


class FoundFiles(Generic[Name]):
    """Attributes by name.

    Args:
        files: the machine.
        find: path by name of what there is now; a path that is not there is left out.
    """

    def __init__(self, files: HostFS, find: Callable[[HostFS], Mapping[Name, str]]) -> None:
        self._files, self._find = files, find
        self._readers = self._look()
        self._stale = False

    def look_again(self) -> None:
        """The machine has changed: find the files anew before the next reading."""
        self._stale = True

    def texts(self) -> Iterator[tuple[Name, str]]:
        """Name and text of each file that answers.

        One that the kernel refuses (EBUSY of an offline CPU) is left out; one that has gone makes the next reading look
        for what there is instead.
        """
        if self._stale:
            self._stale, self._readers = False, self._look()
        for name, reader in self._readers.items():
            try:
                text = reader.read()
            except HostError as error:
                _log.debug("%s", error)
                continue
            if text is None:
                self._stale = True
            else:
                yield name, text

    def _look(self) -> dict[Name, Reader]:
        found = ((name, open_reader(self._files, path)) for name, path in self._find(self._files).items())
        return {name: reader for name, reader in found if _is_there(reader)}

    def ints(self) -> dict[Name, int]:
        """Integer by name, without those that are none."""
        return {name: number for name, text in self.texts() if (number := parse_int(text)) is not None}


def _is_there(reader: Reader) -> bool:
    try:
        return reader.read() is not None
    except HostError:
        return True
