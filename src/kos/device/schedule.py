"""How long an app's threads ran, and how often they were taken off a processor: the kernel's own counters.

Samples, not events: when a thread was switched is not known, only how often between two looks. From
/proc/PID/task/TID/schedstat and status, which need no rights beyond seeing the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROCESSES_MAX = 64  # of one app, looked at in one sample
THREADS_MAX = 256


def sample(launcher: int) -> list[int]:
    """Sums over the threads of the app that kos-launch, process `launcher`, started.

    Returns:
        Nanoseconds on a processor, nanoseconds ready and waiting for one, voluntary switches, involuntary
        switches, threads now; empty when it has ended. Threads that ended take their share with them.
    """
    totals = [0, 0, 0, 0, 0]
    for task in _threads(launcher):
        try:
            ran, waited = (task / "schedstat").read_text().split()[:2]
            status = (task / "status").read_text()
        except (OSError, ValueError):
            continue  # it ended meanwhile
        counts = dict(line.split(":", 1) for line in status.splitlines() if "ctxt_switches" in line)
        numbers = (ran, waited, counts["voluntary_ctxt_switches"], counts["nonvoluntary_ctxt_switches"], "1")
        totals = [total + int(number) for total, number in zip(totals, numbers, strict=True)]
    return totals if totals[4] else []


def _threads(launcher: int) -> Iterator[Path]:
    waiting, seen, threads = _children(launcher), 0, 0
    while waiting and seen < PROCESSES_MAX:
        process = waiting.pop()
        seen += 1
        waiting += _children(process)
        try:
            tasks = list(Path(f"/proc/{process}/task").iterdir())
        except OSError:
            continue
        for task in tasks[: THREADS_MAX - threads]:
            threads += 1
            yield task


def _children(process: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []
