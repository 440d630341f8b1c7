"""A rollout's releases: the same software for each platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from kos.server.core.db.models import Release, Rollout


@dataclass(frozen=True)
class Variants:
    """A rollout's releases: the same software for each platform."""

    first: Release
    by_platform: Mapping[str, Release]

    @classmethod
    def of(cls, session: Session, rollout: Rollout) -> Variants:
        first = session.get_one(Release, rollout.release_id)
        found = [first, *(session.get_one(Release, number) for number in rollout.variants)]
        return cls(first, {_platform(release.platform): release for release in found})

    def fit(self, platform: str) -> bool:
        """Whether there is a release for a device; one that never said its platform is tried."""
        return not platform or _platform(platform) in self.by_platform

    def release_for(self, platform: str) -> Release:
        return self.by_platform.get(_platform(platform), self.first)


def _platform(text: str) -> str:
    return text.partition(",")[0]
