"""What a capture says of itself: `hwtune-capture.json`, inside the archive (docs/capture.md)."""

from __future__ import annotations

import errno
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hwtune.domain.errors import HostError

MANIFEST = "/hwtune-capture.json"


class Manifest(BaseModel):
    """How a capture was made, and what is not in it.

    Attributes:
        schema_version: of this form; fields are added to it, never renamed or taken away.
        hwtune: version that made it.
        superuser: whether it was made with root's rights, which some files need.
        files: how many are in it.
        links: how many symbolic links are in it.
        refused: path → name of the errno the kernel answered reading with; reading the capture gives it again.
        left_out: path → why what could be read is not in it.
        redactions: how many replacements were made, by kind.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    hwtune: str
    superuser: bool
    files: int
    links: int
    refused: dict[str, str]
    left_out: dict[str, str]
    redactions: dict[str, int]


def parse_manifest(archive: str, text: str) -> Manifest:
    """The manifest of an archive.

    Raises:
        HostError: it is none, or of a later form.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        hint = f"its {MANIFEST[1:]} is damaged, or was made by a later hwtune"
        raise HostError(archive, "open root", errno=errno.EINVAL, hint=hint) from error
