"""The error of a build that cannot be done as asked."""

from __future__ import annotations

from kos.abi.errors import KosError


class BuildError(KosError):
    """A project, an app's sources, a lock file or an archive is not what it must be."""
