"""The error of a wrong manifest."""

from __future__ import annotations

from kos.abi.errors import KosError


class ManifestError(KosError):
    """A manifest, a value for one, or a project's configuration is not what it must be."""
