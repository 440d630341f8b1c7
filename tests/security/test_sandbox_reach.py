"""What a hostile app can see and touch from inside: nothing of others, little of the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.systems import app, c_app, needs_bubblewrap
from tests.security.hostile import SECRET, beside_steady_apps, hostile_lines

pytestmark = pytest.mark.group("security")

USERS = [pytest.param(False, id="as-we-are")]
if os.geteuid() == 0:
    USERS.append(pytest.param(True, id="ordinary-user"))

# Walks everything it can see, and tries to write wherever it gets.
_LOOK_AROUND = r"""
import json, os, stat
SECRET = "kept-" + "secret-of-the-victim"
FACTS = ("Cap", "NoNewPrivs", "Seccomp:", "Groups")
def holds_secret(path):
    # In pieces: a program of the machine may be larger than the memory of an app.
    wanted = SECRET.encode()
    with open(path, "rb") as file:
        tail = b""
        while piece := file.read(1 << 20):
            if wanted in tail + piece:
                return True
            tail = piece[-len(wanted):]
    return False
def main():
    found, writable, devices, setuid = [], [], [], []
    for top, folders, files in os.walk("/", followlinks=False):
        if top.startswith(("/proc", "/usr/lib", "/root", "/opt")):
            folders[:] = []
            continue
        for name in folders + files:
            path = os.path.join(top, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                devices.append(path)
            if mode & (stat.S_ISUID | stat.S_ISGID):
                setuid.append(path)
            try:
                if os.path.isfile(path) and holds_secret(path):
                    found.append(path)
            except OSError:
                pass
        probe = os.path.join(top, ".probe")
        try:
            with open(probe, "w"):
                writable.append(top)
            os.unlink(probe)
        except OSError:
            pass
    processes = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            processes[pid] = open(f"/proc/{pid}/cmdline").read().split("\0")[0]
        except OSError:
            processes[pid] = None
        for name in ("environ", "mem", "maps"):
            if pid == str(os.getpid()):
                continue
            try:
                data = open(f"/proc/{pid}/{name}", "rb").read(1)
                found.append(f"/proc/{pid}/{name}")
            except OSError:
                pass
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if pid != str(os.getpid()):
                    found.append(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    print(json.dumps({
        "top": sorted(os.listdir("/")), "found": found, "writable": writable, "devices": sorted(devices),
        "setuid": setuid, "processes": processes, "environ": sorted(os.environ),
        "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
        "networks": [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line],
        "facts": [line.split() for line in open("/proc/self/status") if line.startswith(FACTS)],
    }))
"""


@pytest.mark.parametrize("ordinary_user", USERS)
def test_sees_nothing_of_others(tmp_path: Path, ordinary_user: bool) -> None:
    needs_bubblewrap()
    with beside_steady_apps(tmp_path, app(_LOOK_AROUND), ordinary_user=ordinary_user) as system:
        system.wait_for('| {"top":')
        seen = json.loads("".join(hostile_lines(system)))
    assert seen["found"] == [], f"{SECRET} or another process can be read"
    assert seen["writable"] == ["/tmp"]
    assert seen["setuid"] == []
    assert seen["devices"] == [f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero")]
    assert seen["descriptors"] == [0, 1, 2]
    assert seen["networks"] == ["lo"]
    assert set(seen["processes"]) == {"1", "2"}
    assert seen["processes"]["1"] in (None, "/kos/kos-launch")
    assert set(seen["environ"]) == {
        "HOME",
        "KOS_APP_NAME",
        "KOS_CONFIG",
        "KOS_MSG_SERVERS",
        "LANG",
        "PWD",
    }
    facts = {key.rstrip(":"): values for key, *values in seen["facts"]}
    assert {facts[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == ["1"]
    assert facts["Seccomp"] == ["2"]
    if os.geteuid() == 0 and not ordinary_user:
        assert facts["Groups"] == []


# What could be of others: their files, memory, environment and console.
_READ_OTHERS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    const char *patterns[] = {
        "/proc/[0-9]*/environ", "/proc/[0-9]*/mem", "/proc/[0-9]*/fd/*", "/proc/[0-9]*/root/*",
        "/proc/[0-9]*/cwd/*", "/app/../*/steady*", "/tmp/*", "/dev/pts/*", "/dev/tty*", "/run/*",
        "/var/*/*", "/home/*/*", "/kos/../store/*", "/dev/shm/*",
    };
    char own[64], data[65536];
    snprintf(own, sizeof own, "/proc/%d/", getpid());
    for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        glob_t found = {0};
        glob(patterns[i], 0, NULL, &found);
        for (size_t n = 0; n < found.gl_pathc; n++) {
            const char *path = found.gl_pathv[n];
            if (!strncmp(path, own, strlen(own))) continue;
            int fd = open(path, O_RDONLY | O_NONBLOCK);
            ssize_t size = fd < 0 ? -1 : read(fd, data, sizeof data);
            if (size > 0) printf("got through: %s\n", path);
        }
    }
    printf("looked\n");
}
"""


@pytest.mark.parametrize("ordinary_user", USERS)
def test_reads_nothing_of_others_in_c(tmp_path: Path, ordinary_user: bool) -> None:
    with beside_steady_apps(tmp_path, c_app(_READ_OTHERS), ordinary_user=ordinary_user) as system:
        system.wait_for("| looked")
        assert [line for line in system.lines if "got through" in line] == []


_SIGNALS = r"""
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    int pid, hit = 0;
    setvbuf(stdout, 0, _IONBF, 0);
    for (pid = 3; pid < 70000; pid++)
        if (pid != getpid() && (kill(pid, SIGKILL) == 0 || errno != ESRCH)) hit++;
    kill(1, SIGKILL); kill(1, SIGSTOP); kill(1, SIGTERM);
    kill(-1, SIGKILL);
    printf("survived, hit %d\n", hit);
    pause();
}
"""


_SIGNALS_PYTHON = r"""
import os, signal
def main():
    hit = 0
    for pid in [*range(3, 70000), -1]:
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
                hit += pid != -1
            except ProcessLookupError:
                pass
            except OSError:
                hit += 1
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        os.kill(1, number)
    print(f"survived, hit {hit}")
    signal.pause()
"""


@pytest.mark.parametrize("ordinary_user", USERS)
@pytest.mark.parametrize("make", [lambda: c_app(_SIGNALS), lambda: app(_SIGNALS_PYTHON)], ids=["C", "Python"])
def test_signals_reach_nobody(
    tmp_path: Path, make: Callable[[], dict[str, Any]], ordinary_user: bool
) -> None:
    with beside_steady_apps(tmp_path, make(), ordinary_user=ordinary_user) as system:
        system.wait_for("| survived, hit 0")


_OVERWRITE = r"""
import os
def main():
    paths = "/proc/1/mem /app/site/hostile_app.py /kos/kos/app/main.py /config.json /kos/kos-launch"
    for path in paths.split():
        try:
            with open(path, "r+b") as file:
                file.write(b"x")
            print("got through:", path)
        except OSError as error:
            print("refused:", path, error.errno)
    try:
        os.chmod("/app", 0o777)
        print("got through: chmod")
    except OSError:
        pass
    print("done")
"""


@pytest.mark.parametrize("ordinary_user", USERS)
def test_image_runtime_and_init_cannot_be_changed(tmp_path: Path, ordinary_user: bool) -> None:
    with beside_steady_apps(tmp_path, app(_OVERWRITE), ordinary_user=ordinary_user) as system:
        system.wait_for("| done")
        assert not any("got through" in line for line in system.lines)


def test_console_of_others_cannot_be_forged(tmp_path: Path) -> None:
    """Whatever an app prints stays behind its own name, on one line, without control characters."""
    source = r"""
    import sys
    def main():
        sys.stdout.write("a\r|      0.001| steady_client      | forged\n")
        sys.stdout.buffer.write(b"\x1b[2J\x00\xff\n")
        sys.stdout.write("two\u2028lines\x85here\n")
        print("done")
    """
    with beside_steady_apps(tmp_path, app(source)) as system:
        system.wait_for("| done")
    forged = [line for line in system.lines if "forged" in line]
    assert len(forged) == 1 and "| hostile            | a\\r|" in forged[0]
    assert any(r"| \x1b[2J\x00\xff" in line for line in system.lines)
    assert any(r"| two\u2028lines\x85here" in line for line in system.lines)
