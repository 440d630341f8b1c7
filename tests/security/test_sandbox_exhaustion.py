"""Apps that take all they can get: memory, processes, files, the console, time to stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.systems import app, c_app
from tests.security.hostile import beside_steady_apps

pytestmark = pytest.mark.group("security")

USERS = [pytest.param(False, id="as-we-are")]
if os.geteuid() == 0:
    USERS.append(pytest.param(True, id="ordinary-user"))

_FORK_BOMB = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    int n = 0, pid = 0;
    while (n < 5000 && (pid = fork()) > 0) n++;
    if (pid == 0) pause();
    printf("made %d: %s\n", n, strerror(errno));
    fflush(stdout);
    pause();
}
"""
_FORK_BOMB_PYTHON = """
import os, signal
def main():
    made = 0
    try:
        while made < 5000:
            if os.fork() == 0:
                signal.pause()
            made += 1
    except OSError as error:
        print(f"made {made}: {error.strerror}")
    signal.pause()
"""


@pytest.mark.parametrize("ordinary_user", USERS)
@pytest.mark.parametrize(
    "make",
    [lambda **how: c_app(_FORK_BOMB, **how), lambda **how: app(_FORK_BOMB_PYTHON, **how)],
    ids=["C", "Python"],
)
def test_fork_bomb(tmp_path: Path, make: Callable[..., dict[str, Any]], ordinary_user: bool) -> None:
    hostile = make(processes=10)
    with beside_steady_apps(tmp_path, hostile, ordinary_user=ordinary_user) as system:
        system.wait_for("| made 9: Resource temporarily unavailable")
        if "control groups" in system.status()["limits"]:  # nothing tells with resource limits
            system.wait_for("hostile: wanted more than its 10 processes and threads")


_MEMORY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    int n = 0;
    static char *volatile p; // volatile, or a compiler may leave the memory out
    while (n < 4096 && (p = malloc(1 << 20))) { memset(p, 1, 1 << 20); n++; }
    printf("got %d MiB\n", n);
    return n < 64 ? 3 : 0;
}
"""


_HIDDEN_MEMORY = r"""
import mmap, os
def main():
    kept = []
    try:
        for n in range(4096):
            shared = mmap.mmap(-1, 1 << 20)
            shared.write(b"x" * (1 << 20))
            kept.append(shared)
    except OSError as error:
        print("mmap ends", len(kept), error.errno)
    raise SystemExit(3 if len(kept) < 1024 else 0)
"""


@pytest.mark.parametrize("ordinary_user", USERS)
@pytest.mark.parametrize(
    "make",
    [lambda **how: c_app(_MEMORY, **how), lambda **how: app(_HIDDEN_MEMORY, **how)],
    ids=["C-own", "Python-shared"],
)
def test_memory(tmp_path: Path, make: Callable[..., dict[str, Any]], ordinary_user: bool) -> None:
    with beside_steady_apps(tmp_path, make(memory=32 << 20), ordinary_user=ordinary_user) as system:
        if "control groups" in system.status()["limits"]:
            system.wait_for("| hostile: killed: out of memory")
        else:
            system.wait_for("| hostile: exited with status 3")


_FILL = r"""
import errno, os
def main():
    written = 0
    for folder in ("/tmp", "/dev/shm", "/dev", "/"):
        try:
            with open(f"{folder}/fill{written}", "wb", buffering=0) as file:
                while written < 1 << 28:
                    written += file.write(bytes(1 << 20))
        except OSError as error:
            print(folder, errno.errorcode[error.errno])
    print("wrote", written >> 20)
"""
_FILL_IN_C = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
static char block[1 << 20];
int main(void) {
    const char *paths[] = {"/tmp/fill", "/dev/shm/more", "/dev/fill", "/fill"};
    long written = 0;
    for (int i = 0; i < 4; i++) {
        int fd = open(paths[i], O_CREAT | O_WRONLY, 0600), failed = errno;
        for (long n = 1; fd >= 0 && written < 1 << 28; written += n)
            if ((n = write(fd, block, sizeof block)) < 0) { failed = errno; break; }
        printf("%s %s\n", i == 0 ? "/tmp" : paths[i], failed == ENOSPC ? "ENOSPC" : "refused");
    }
    printf("wrote %ld\n", written >> 20);
}
"""


@pytest.mark.parametrize("ordinary_user", USERS)
@pytest.mark.parametrize("make", [lambda: c_app(_FILL_IN_C), lambda: app(_FILL)], ids=["C", "Python"])
def test_files(tmp_path: Path, make: Callable[..., dict[str, Any]], ordinary_user: bool) -> None:
    with beside_steady_apps(tmp_path, make(), ordinary_user=ordinary_user) as system:
        system.wait_for("| /tmp ENOSPC")
        system.wait_for("| wrote 16")


_DESCRIPTORS = r"""
import errno, os
def main():
    n = 0
    try:
        while n < 100000:
            os.open("/dev/null", os.O_RDONLY)
            n += 1
    except OSError as error:
        print(n, errno.errorcode[error.errno])
"""


def test_descriptors(tmp_path: Path) -> None:
    with beside_steady_apps(tmp_path, app(_DESCRIPTORS, descriptors=40)) as system:
        system.wait_for("| 37 EMFILE")


_FLOOD = r"""
import os
def main():
    line = b"flood " * 100 + b"\n"
    for _ in range(200):
        os.write(1, line * 64)
    os.write(1, b"no new-line at the end")
"""


def test_console_flood_is_dropped_and_counted(tmp_path: Path) -> None:
    with beside_steady_apps(tmp_path, app(_FLOOD)) as system:
        line = system.wait_for("lines dropped, it writes too fast")
        assert "| supervisor         | hostile: " in line


_STUBBORN = r"""
import os, signal, time
def main():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(1, b"no\n"))
    for _ in range(3):
        if os.fork() == 0:
            while True:
                time.sleep(0.1)
    print("here to stay")
    while True:
        time.sleep(1)
"""
_STUBBORN_IN_C = r"""
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    for (int number = 1; number < 64; number++) signal(number, SIG_IGN);
    for (int i = 0; i < 3; i++)
        if (fork() == 0) { setsid(); for (;;) pause(); }
    printf("here to stay\n");
    fflush(stdout);
    for (;;) pause();
}
"""


@pytest.mark.parametrize("ordinary_user", USERS)
@pytest.mark.parametrize("make", [lambda: c_app(_STUBBORN_IN_C), lambda: app(_STUBBORN)], ids=["C", "Python"])
def test_outliving_its_stop(tmp_path: Path, make: Callable[..., dict[str, Any]], ordinary_user: bool) -> None:
    with beside_steady_apps(tmp_path, make(), ordinary_user=ordinary_user) as system:
        system.wait_for("| here to stay")
        pid = system.status()["apps"]["hostile"]["pid"]
        system.restart("hostile")
        system.wait_for("hostile: did not stop within 2 s and is killed")
        system.wait_for("| here to stay", times=2)
        assert not Path(f"/proc/{pid}").exists()


_SPIN = "int main(void) { for (;;) { } }"


def test_burning_the_processor_with_low_priority(tmp_path: Path) -> None:
    with beside_steady_apps(tmp_path, c_app(_SPIN, priority=0)) as system:
        before = sum("| steady " in line for line in system.lines)
        system.wait_for("| steady ", before + 5)


_FILL_DATA = r"""
import os
def main():
    number = 0
    while True:
        with open(f"/data/{number}", "wb") as file:
            file.write(bytes(100_000))
        number += 1
"""
_ONE_BIG_FILE = r"""
import signal
def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open("/data/big", "wb", buffering=0) as file:
            while True:
                file.write(bytes(100_000))
    except OSError as error:
        print("stopped at", file.name, error.errno)
"""


def test_storage(tmp_path: Path) -> None:
    storage = [{"type": "storage", "size": 1 << 20}]
    others = {"hostile_one": app(_ONE_BIG_FILE, resources=storage)}
    hostile = app(_FILL_DATA, resources=storage)
    with beside_steady_apps(tmp_path, hostile, others=others) as system:
        system.wait_for("hostile: killed: its /data holds ")
        system.wait_for("| stopped at /data/big 27")


_FILL_DEEP = r"""
import os, time
def main():
    os.chdir("/data")
    for _ in range(30):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    for number in range(40):
        with open(str(number), "wb") as file:
            file.write(bytes(100_000))
    print("hidden")
    time.sleep(1000)
"""


def test_storage_below_a_path_too_long_to_look_at(tmp_path: Path) -> None:
    hostile = app(_FILL_DEEP, resources=[{"type": "storage", "size": 1 << 20}])
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for("hostile: killed: its /data holds ")


def test_ends_of_every_kind(tmp_path: Path) -> None:
    """However an app ends, the supervisor finds words for it."""
    ends = {
        "hostile_realtime": ("os.kill(os.getpid(), 40)", "killed by signal 40"),
        "hostile_segv": ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        "hostile_abort": ("os.abort()", "killed by SIGABRT"),
        "hostile_status": ("os._exit(255)", "exited with status 255"),
        "hostile_closed": ("os.closerange(0, 256); os._exit(1)", "exited with status 1"),
    }
    apps = {name: app(f"import os\ndef main():\n    {code}") for name, (code, _) in ends.items()}
    with beside_steady_apps(tmp_path, apps.pop("hostile_segv"), others=apps) as system:
        system.wait_for("hostile: killed by SIGSEGV")
        for name in apps:
            system.wait_for(f"{name}: {ends[name][1]}")
