"""`overlay.zip`: an overlay, its signatures and the images of the apps that it brings, in one file.

Of the same strict form as a `manifest.zip`; only its first entry differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kos.build.manifest_zip import Archive, write_archive
from kos.manifest import overlay

NAME = "overlay.json"


def write(
    path: Path,
    document: Mapping[str, Any],
    blobs: Mapping[str, Path],
    signatures: Mapping[str, bytes] | None = None,
) -> None:
    """Write an `overlay.zip`. `blobs` holds at least the images that the overlay names."""
    named = {sha256: blobs[sha256] for sha256 in overlay.blobs_of(document)}
    write_archive(path, NAME, overlay.canonical(document), named, signatures or {})


class OverlayZip(Archive):
    """An `overlay.zip` that was read and found to be in order.

    Attributes:
        content: what the overlay says.
    """

    NAME = NAME
    DOCUMENT_MAX = overlay.BYTES_MAX
    content: dict[str, Any]

    def _named(self) -> Mapping[str, int]:
        self.content = overlay.parse(self.document)
        if overlay.canonical(self.content) != self.document:
            raise self._fail("the overlay is not in canonical form")
        return overlay.blobs_of(self.content)
