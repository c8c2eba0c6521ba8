"""What a command prints, kept as far as it is of use: the last of it, however much there is.

The command writes into a file without a name, through a descriptor that appends, so that the file can be cut while it
is written to.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from types import TracebackType
from typing import BinaryIO

TAIL_BYTES = 1 << 20
_MOST_BYTES = 16 << 20  # of the file, between two looks at it


class KeptOutput:
    """The last `TAIL_BYTES` of a command's output.

    Attributes:
        file: where the command writes.
    """

    file: BinaryIO

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - closed by `__exit__`
        flags = fcntl.fcntl(self.file, fcntl.F_GETFL)
        fcntl.fcntl(self.file, fcntl.F_SETFL, flags | os.O_APPEND)
        self._before, self._cut = b"", False

    def __enter__(self) -> KeptOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def trim(self) -> None:
        """Give back the space of what is too long ago; to be called now and then while the command runs.

        A line that is printed in the very moment of a cut is lost, whole: half a number would be another one.
        """
        if os.fstat(self.file.fileno()).st_size > _MOST_BYTES:
            end = self._end()
            os.ftruncate(self.file.fileno(), 0)
            self._before, self._cut = end[: end.rfind(b"\n") + 1], True

    def text(self) -> str:
        """The last of the output, whole lines only where something before them was cut off."""
        return self._end().decode("utf-8", "replace")

    def _end(self) -> bytes:
        """The last of what was kept before and of the file; a line that may be half of one is left out."""
        size = os.fstat(self.file.fileno()).st_size
        found = os.pread(self.file.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES))
        if size > TAIL_BYTES or self._cut:
            found = found.partition(b"\n")[2]
        whole = self._before + found
        return whole[-TAIL_BYTES:].partition(b"\n")[2] if len(whole) > TAIL_BYTES else whole
