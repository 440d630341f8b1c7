"""Processes of process 1: forked, because a second interpreter would have to import everything again."""

from __future__ import annotations

import os
from collections.abc import Callable


def start(work: Callable[[], None]) -> int:
    """Run `work` in a new process; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()  # nothing after this would tell
    finally:
        os._exit(code)
