"""Tokens on their way between apps in C and in Python, while apps and message server die.

Each app (native/tests/juggler.c, juggler.py) is server and client of the others and checks what it sees: no
message of a token that it revoked, no answer of another's, no dead token that works again. Here it is counted
that everybody goes on, and that nothing is left. KOS_STRESS_SECONDS makes it longer, KOS_STRESS_SEED repeats
it: who is killed and what each app does come from it, the moments from the machine.
"""

from __future__ import annotations

import collections
import itertools
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kos.build import native
from tests.device.msgserver.wire import DEADLINE, Server

pytestmark = [pytest.mark.group("security"), pytest.mark.timeout(900)]

KILLS = 4  # of apps under each message server
SECONDS = float(os.environ.get("KOS_STRESS_SECONDS", "8"))
SEED = int(os.environ.get("KOS_STRESS_SEED", "0")) or time.time_ns() % 2**31
PORTS = ["c0", "c1", "p0", "p1"]
STEADY = ("c0", "p0")  # killed only with their message server: what they keep is counted
TWIN = Path(__file__).with_name("juggler.py")
# Both ends of what a server keeps for apps that end with it.
GONE = ("the message server is gone", "UNAVAILABLE")


def held(pid: int) -> dict[str, int]:
    """Descriptors, and mappings of shared memory by their kind."""
    process = Path("/proc", str(pid))
    lines = (process / "maps").read_text().splitlines()
    maps = [line.rpartition("memfd:")[2].split()[0] for line in lines if "memfd:" in line]
    links = [kind_of(process / "fd" / number) for number in os.listdir(process / "fd")]
    return dict(collections.Counter([*(f"{kind}, mapped" for kind in maps), *links]))


def kind_of(descriptor: Path) -> str:
    """What a descriptor is, without its number."""
    try:
        return os.readlink(descriptor).partition(" ")[0].rstrip("0123456789[]:")
    except FileNotFoundError:
        return "closed meanwhile"


class Juggler:
    """One app and what it printed last."""

    def __init__(self, server: Server, name: str, seed: int) -> None:
        self.name = name
        others = [port for port in PORTS if port != name]
        command = [native.tests() / "juggler"] if name[0] == "c" else [sys.executable, TWIN]
        access = {name: "server", **dict.fromkeys(others, "client")}
        self.process = server.spawn_command(name, [*command, str(seed), name, *others], **access)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = ""

    def read(self) -> bool:
        """Take what it printed; → whether that was something."""
        try:
            found = os.read(self.process.stdout.fileno(), 65536).decode()
        except BlockingIOError:
            return False
        self.output = (self.output + found)[-4000:]
        return bool(found)


class Jugglers:
    """A message server with its apps; each that ends is started again."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self.server = Server(*PORTS)
        self.apps: dict[str, Juggler] = {}

    def begin(self) -> None:
        self.apps = {name: self.start(name) for name in PORTS}

    def start(self, name: str) -> Juggler:
        return Juggler(self.server, name, self._choice.randrange(1, 2**31))

    def kill(self, name: str) -> None:
        app = self.apps[name]
        app.process.kill()
        app.process.wait(DEADLINE)
        app.process.stdout.close()
        self.apps[name] = self.start(name)

    def end(self, *, killed: bool) -> None:
        """End the message server; each app notices and ends by itself."""
        if killed:
            self.server.process.send_signal(signal.SIGKILL)
        else:
            self.server.admin.close()
        for app in self.apps.values():
            assert app.process.wait(DEADLINE) == 1
            while app.read():
                continue
            assert any(text in app.output for text in GONE), f"{app.name}: {app.output}"
        self.server.stop()

    def until(self, what: str, found: Callable[[], bool]) -> None:
        """Read everybody until something is so. Fails when an app ends, or it does not come."""
        end = time.monotonic() + DEADLINE
        while not found():
            said = [(app.name, app.output) for app in self.apps.values()]
            assert time.monotonic() < end, f"{what}: {self.held()}, {said}"
            files = {app.process.stdout: app for app in self.apps.values()}
            for file in select.select(files, [], [], 0.05)[0]:
                app = files[file]
                if not app.read():
                    raise AssertionError(f"{app.name} ended: {app.output}")
            while select.select([self.server.admin], [], [], 0)[0]:
                event = self.server.event()
                assert event["event"] not in ("violation", "refused"), event

    def all_go_on(self) -> None:
        """Each does a few rounds more: nobody waits for what never comes."""
        for app in self.apps.values():
            app.output = ""
        self.until("all go on", lambda: all(app.output.count("\n") >= 2 for app in self.apps.values()))

    def signal_all(self) -> None:
        for app in self.apps.values():
            app.process.send_signal(signal.SIGUSR1)

    def rest(self, before: dict[str, dict[str, int]] | None = None) -> dict[str, dict[str, int]]:
        """Let nobody keep a token; → what everybody holds when nothing is on its way any more.

        With `before`, wait until that is no more than it was then: an app drops what ended when it is told.
        """
        self.signal_all()
        self.until("all rest", lambda: all("rests" in app.output for app in self.apps.values()))
        self.until(
            "what was on its way arrives",
            lambda: all(each["tokens"] == each["clients"] == 0 for each in self.server.status().values()),
        )
        found = self.held()

        def dropped() -> bool:
            nonlocal found
            found = self.held()
            if any("kos-mailbox" in each or "kos-buffer" in each for each in found.values()):
                return False
            return before is None or all(
                found[name].get(kind, 0) <= before[name].get(kind, 0)
                for name in found
                for kind in found[name]
            )

        self.until(f"what ended is dropped, as before: {before}", dropped)
        self.signal_all()
        return found

    def held(self) -> dict[str, dict[str, int]]:
        pids = {name: self.apps[name].process.pid for name in STEADY}
        return {name: held(pid) for name, pid in {**pids, "msg0": self.server.process.pid}.items()}


def test_tokens_on_their_way_while_either_side_and_the_message_server_die() -> None:
    print("KOS_STRESS_SEED", SEED)  # shown when the test fails
    choice = random.Random(SEED)
    ours = len(os.listdir("/proc/self/fd"))
    end = time.monotonic() + SECONDS
    for turn in itertools.count(1):
        jugglers = Jugglers(choice)
        try:
            jugglers.begin()
            jugglers.all_go_on()
            before = jugglers.rest()
            for victim in choice.choices([name for name in PORTS if name not in STEADY], k=KILLS):
                jugglers.all_go_on()
                for _ in range(choice.randrange(20)):  # somewhere in the middle of something
                    jugglers.until("a moment", iter([False, True]).__next__)
                jugglers.kill(victim)
            jugglers.all_go_on()
            jugglers.rest(before)
            jugglers.all_go_on()
            jugglers.end(killed=turn % 2 == 1)
        finally:
            jugglers.server.stop()
        assert len(os.listdir("/proc/self/fd")) == ours
        if turn > 1 and time.monotonic() > end:
            return
