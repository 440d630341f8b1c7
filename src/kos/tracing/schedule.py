"""From the kernel's counters to shares of time: what two samples of an app say of the time between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Sample = tuple[int, ...]
_NAMES = ("on processor %", "waiting for processor %", "voluntary switches/s", "involuntary switches/s")


class Schedule:
    """Remembers the last sample of each app."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Sample]] = {}

    def feed(self, now: int, samples: Mapping[str, Sample]) -> Iterator[tuple[str, str, int, float]]:
        """App, name of the counter, nanoseconds, value: one for each counter of each app seen before."""
        for app, sample in samples.items():
            then, before = self._last.get(app, (0, ()))
            self._last[app] = (now, sample)
            # Counters of an app that was started again begin anew.
            if (
                len(before) != len(sample)
                or now <= then
                or any(a < b for a, b in zip(sample[:4], before, strict=False))
            ):
                continue
            for place, name in enumerate(_NAMES[: len(sample)]):
                change = (sample[place] - before[place]) / (now - then)
                yield app, name, now, round(change * (100 if place < 2 else 1e9), 1)
