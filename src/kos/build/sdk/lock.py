"""The lock of an SDK version: every package of every set with its hash, so that it can be brought again
exactly.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.build.sdk.apt import Package

FORMAT = "kos.sdk.lock"
LOCK_MAX = 4 << 20  # bytes


@dataclass
class Lock:
    """`sets` maps `<set>-<arch>` to its packages."""

    version: str
    sets: dict[str, list[Package]] = field(default_factory=dict)

    def dumps(self) -> str:
        sets = {name: [asdict(one) for one in packages] for name, packages in sorted(self.sets.items())}
        return json.dumps({"format": FORMAT, "version": self.version, "sets": sets}, indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write it so that a reader sees the old or the new one."""
        part = path.with_suffix(".part")
        part.write_text(self.dumps())
        part.replace(path)


def load(path: Path) -> Lock:
    """Read a lock.

    Raises:
        KosError: it is not one.
    """
    data = read_bounded(path, LOCK_MAX)
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        sets = {name: [Package(**one) for one in packages] for name, packages in document["sets"].items()}
        return Lock(document["version"], sets)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KosError(f"expected a {FORMAT}: {error!r}", where=str(path)) from error
