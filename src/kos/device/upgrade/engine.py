"""The upgrade engine of a device: installs, applies, watches the new system, confirms it or goes back.

It is the only one that changes the store while a system runs. It speaks to the supervisor by its control
socket and knows nothing of the channel that an upgrade comes by.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.records import dataclass, replace
from kos.device.control.client import ControlClient
from kos.device.store import generations
from kos.device.store.generations import GOOD, Generation
from kos.device.store.store import Store
from kos.device.upgrade.check import Facts
from kos.device.upgrade.health import Judge
from kos.device.upgrade.installer import Installed, Installer, Overlay, app_images
from kos.device.upgrade.slots import Slots
from kos.keys import signing
from kos.manifest import codec
from kos.manifest.images import ServiceImage
from kos.manifest.model import Manifest

LOOK_SECONDS = 0.5
STOP_SECONDS = 60.0  # for the apps that an upgrade replaces
TRUST_FILE = "trusted.json"
SELF_TEST = "kos.services.selftest."  # what the entries of apps that test the system begin with

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Device:
    """What the engine works on.

    Attributes:
        directory: the supervisor's.
        store: the device's store.
        slots: its two slots; None on the host platform.
        keys: the folder with the device's keys and `trusted.json`.
        restart: starts the device anew; None where it cannot.
    """

    directory: Path
    store: Store
    slots: Slots | None
    keys: Path
    restart: Callable[[], None] | None


class Engine:
    """The engine; one upgrade at a time."""

    def __init__(self, device: Device, running: int) -> None:
        self._device = device
        self._running = running
        self._installer: Installer | None = None
        self.last = ""  # what became of the last upgrade, for people

    # --- what a channel asks for ----------------------------------------------------------------------
    def facts(self) -> dict[str, Any]:
        """What runs here, and what ran."""
        store = self._device.store
        known = store.generations()
        running = known[self._running]
        return {
            "platform": self._manifest(running).platform,
            "system": self._manifest(running).name,
            "release": running.release,
            "manifest": running.manifest,
            "base": running.base,
            "overlay": running.overlay,
            "generation": running.number,
            "state": running.state,
            "slot": running.slot,
            "parts": {name: part.sha256 for name, part in running.parts.items()},
            "generations": [
                {
                    "number": one.number,
                    "release": one.release,
                    "state": one.state,
                    "reason": one.reason,
                    "manifest": one.base or one.manifest,
                    "overlay": one.overlay,
                    "ticket": one.ticket,
                }
                for _, one in sorted(known.items())
            ],
        }

    def offer(
        self, document: bytes, signatures: Mapping[str, bytes], over: Overlay | None = None, ticket: str = ""
    ) -> dict[str, int]:
        """See `Installer.offer`."""
        self._installer = Installer(self._device.store, self._device.slots, self._check_facts)
        return self._installer.offer(document, signatures, over, ticket)

    def images(self) -> dict[str, int]:
        """Blobs of app images that are here, with their sizes: what a delta may begin from."""
        named = {name: size for needed in self._needed().values() for name, size in needed.items()}
        return {name: size for name, size in named.items() if name not in self._device.store.missing(named)}

    def read(self, sha256: str) -> Path:
        """The file of one of `images`."""
        if sha256 not in self.images():
            raise KosError(f"blob {sha256[:12]} is not here")
        return self._device.store.blob(sha256)

    def take(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """See `Installer.take`."""
        if self._installer is None:
            raise KosError("nothing was offered")
        self._installer.take(sha256, chunks)

    def commit(self, tell: Tell) -> None:
        """Install what was offered and go over to it; `tell` hears each step up to its end or the restart."""
        if self._installer is None:
            raise KosError("nothing was offered")
        old = self._device.store.generations()[self._running]
        persistent = self._manifest(old).options.persistent_boot
        installed = self._installer.commit(persistent=persistent)
        self._installer = None
        tell({"event": "installed", "generation": installed.generation.number, "reboot": installed.reboot})
        if installed.reboot:
            self._go_to_slot(installed)
        else:
            self._go_over(old, installed.generation, tell)

    def collect(self) -> list[str]:
        """Remove what no generation needs; the names of what went."""
        store = self._device.store
        kept = generations.keep(store.generations(), store.current()) | {self._running}
        return store.collect({number: needed for number, needed in self._needed().items() if number in kept})

    def _needed(self) -> dict[int, dict[str, int]]:
        """The app images of each generation whose manifest can be read; no other one can ever run."""
        found = {}
        for number, one in self._device.store.generations().items():
            with contextlib.suppress(KosError):
                found[number] = app_images(self._manifest(one))
        return found

    # --- after a start --------------------------------------------------------------------------------
    def watch_start(self, tell: Tell) -> None:
        """Watch the generation that this start led to, when it is on trial: confirm it, or start the last
        good one.
        """
        generation = self._device.store.generations()[self._running]
        if generation.state == GOOD:
            return
        reason = self._judge({}, self._manifest(generation))
        if reason is None:
            try:
                self._confirm(generation)
            except OSError:  # full: what nobody needs any more makes room
                self.collect()
                self._confirm(generation)
            tell({"event": "healthy", "generation": generation.number})
            return
        tell({"event": "unhealthy", "generation": generation.number, "reason": reason})
        store = self._device.store
        good = [one for one in store.generations().values() if one.state == GOOD]
        if not good:
            return  # nothing to go back to: a bad system is better than none
        store.put_generation(generation.failed(reason))
        back = max((one for one in good if one.slot == generation.slot), key=_number, default=None)
        if back is not None:
            self._go_back(back, tell)
        elif self._device.slots is not None and self._device.restart is not None:
            self._device.slots.write_record(self._device.slots.record().give_up())
            self._device.restart()

    # --- steps ----------------------------------------------------------------------------------------
    def _check_facts(self) -> Facts:
        store, slots = self._device.store, self._device.slots
        running = self._manifest(store.generations()[self._running])
        trust = self._device.keys / TRUST_FILE
        return Facts(
            running=running,
            trust=signing.load_trust(trust.read_bytes(), str(trust)) if trust.exists() else None,
            free=store.files.free_bytes(store.root),
            room=slots.room() if slots else {},
        )

    def _manifest(self, generation: Generation) -> Manifest:
        return codec.load(self._device.store.manifest(generation), where=f"generation {generation.number}")

    def _go_to_slot(self, installed: Installed) -> None:
        if self._device.restart is None:
            raise KosError("this system cannot start anew by itself")
        self._device.restart()

    def _go_over(self, old: Generation, new: Generation, tell: Tell) -> None:
        before = self._apply(new, tell)
        self._running = new.number
        reason = self._judge(before, self._manifest(new))
        if reason is None:
            self._confirm(new)
            tell({"event": "healthy", "generation": new.number})
            return
        self._device.store.put_generation(new.failed(reason))
        tell({"event": "reverting", "generation": new.number, "reason": reason})
        self._go_back(old, tell)

    def _go_back(self, old: Generation, tell: Tell) -> None:
        self._device.store.move_current(old.number)
        self._apply(old, tell)
        self._running = old.number
        tell({"event": "reverted", "generation": old.number})

    def _apply(self, generation: Generation, tell: Tell) -> dict[str, int]:
        """Have the supervisor go over to a generation; how often each app had restarted before."""
        started = time.monotonic()
        (self._device.directory / "manifest.next.json").write_bytes(self._device.store.manifest(generation))
        with ControlClient(self._device.directory, STOP_SECONDS) as supervisor:
            before = {name: app["restarts"] for name, app in supervisor.status()["apps"].items()}
            change = supervisor.request("apply")
            # What was tested was the old system, also where the app that tests is the same.
            for name in self_tests(self._manifest(generation)) - set(change["started"]):
                supervisor.restart(name)
        seconds = round(time.monotonic() - started, 3)
        tell(
            {
                "event": "applied",
                "generation": generation.number,
                "stopped": change["stopped"],
                "started": change["started"],
                "seconds": seconds,
            }
        )
        # What was started anew counts from nothing.
        return {name: count for name, count in before.items() if name not in change["started"]}

    def _judge(self, before: Mapping[str, int], manifest: Manifest) -> str | None:
        """None when the running system is healthy, else why it is not."""
        if not manifest.options.health_check:
            return None
        judge = Judge(time.monotonic(), before, server=manifest.options.server_check)
        while True:
            now = time.monotonic()
            try:
                with ControlClient(self._device.directory) as supervisor:
                    verdict = judge.look(supervisor.status(), now)
            except KosError as error:  # it has not begun to listen, or it is gone
                verdict = judge.without_answer(error.message, now)
            if verdict.healthy is not None:
                return None if verdict.healthy else verdict.reason
            time.sleep(LOOK_SECONDS)

    def _confirm(self, generation: Generation) -> None:
        store, slots = self._device.store, self._device.slots
        store.put_generation(replace(generation, state=GOOD, attempts=0))
        if slots is not None and (slots.record().good != slots.running or slots.record().trial):
            slots.write_record(slots.record().confirm(slots.running))
        if self._manifest(generation).options.persistent_boot and store.current() != generation.number:
            store.move_current(generation.number)


def self_tests(manifest: Manifest) -> set[str]:
    """The apps that test the system when they start."""
    return {
        app.name
        for app in manifest.apps.values()
        if isinstance(app.image, ServiceImage) and app.image.entry.startswith(SELF_TEST)
    }


def _number(generation: Generation) -> int:
    return generation.number
