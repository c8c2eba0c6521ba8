import errno

import pytest

from hwtune.domain.errors import HostError, PermissionDenied, TransientError
from hwtune.host.fs import LinuxFS


class RefusingFS(LinuxFS):
    """A tree in which the kernel refuses some files; root may read everything, so modes cannot do that."""

    def __init__(self, root):
        super().__init__(root)
        self.refuse = {}

    def read(self, path):
        code = self.refuse.get(path)
        if code is None:
            return super().read(path)
        kind = {errno.EACCES: PermissionDenied, errno.EBUSY: TransientError, errno.EAGAIN: TransientError}
        raise kind.get(code, HostError)(path, "read", errno=code)


@pytest.fixture
def tree(tmp_path):
    """Make a machine from texts by path; call again to change it."""
    files = RefusingFS(tmp_path)

    def write(texts=None):
        for path, text in (texts or {}).items():
            place = tmp_path / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{text}\n")
        return files

    return write
