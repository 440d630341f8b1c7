"""Process 1: from the kernel to a running system, and what happens when that system ends.

It must not run apps itself, and must not end: an error that it does not expect reboots the device, so that
the boot loader counts the attempt and falls back.
"""

from __future__ import annotations

import os
import signal
import time

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.records import replace
from kos.device.init import children, mounts, system
from kos.device.init.power import AGAIN, OFF, end
from kos.device.init.watchdog import Watchdog
from kos.device.store import generations
from kos.device.store.filesystem import FileSystem
from kos.device.store.generations import Generation
from kos.device.store.store import Store
from kos.device.upgrade.slots import PARTS, Slots
from kos.manifest import codec
from kos.manifest.model import Manifest

_FEEDS = 4  # times that the watchdog is fed in its period
# Until the manifest is known: a system that does not get that far is reset too.
_FIRST_WATCHDOG = 60.0
_ATTEMPTS = 3  # starts of a generation whose own manifest cannot be asked


def say(text: str) -> None:
    """A line of our own on the console, in the console's form."""
    print(f"|{time.monotonic():11.3f}| {'init':<18} | {text}", flush=True)


def run(began: float, drivers: int) -> None:
    """Everything that process 1 does once it is complete.

    Args:
        began: when it began, by the kernel's clock, in seconds.
        drivers: the process that loads drivers.
    """
    imported = time.monotonic()
    mounts.wait_for_drivers(drivers)
    watchdog = Watchdog(_FIRST_WATCHDOG)
    loaded = time.monotonic()
    mounts.mount_storage()
    slot = mounts.command_line().get("slot", "")
    store = Store(mounts.DATA / "store")
    store.recover()
    slots = None if mounts.in_ram() else open_slots(slot)
    generation, manifest, document = pick(store, slots)
    seconds = manifest.options.watchdog
    watchdog.set_period(seconds)
    say(f"generation {generation.number} ({generation.state}), release {generation.release}, slot {slot}")
    say(
        f"boot: {began:.3f} s kernel and Python, {imported - began:.3f} s imports,"
        f" {loaded - imported:.3f} s drivers, {time.monotonic() - loaded:.3f} s storage"
    )
    say(f"watchdog: {f'{seconds:g} s' if watchdog.armed else 'none'}")
    system.prepare(store, mounts.DATA, mounts.KEYS)
    supervisor = children.start(lambda: system.run_supervisor(document))
    engine = children.start(lambda: system.run_engine(store, slots, generation.number, tell, restart))
    keep(watchdog, {supervisor: "the supervisor", engine: "the upgrade engine"})


def open_slots(slot: str) -> Slots:
    """The device's slots, on their partitions."""
    names = [f"{part}-{each}" for part in PARTS for each in ("a", "b")] + ["env"]
    return Slots(slot, {name: mounts.partition(f"kos-{name}") for name in names}, FileSystem())


def pick(store: Store, slots: Slots | None) -> tuple[Generation, Manifest, bytes]:
    """The generation to run, with its manifest; what became of others is recorded. Does not return when the
    other slot has to be started.
    """
    note = slots.take_note() if slots else ""
    passed_over = slots is not None and slots.passed_over()
    known = store.generations()
    current = store.current()
    while True:
        choice = generations.choose(
            known,
            current,
            slots.running if slots else "",
            _attempts(store, known),
            note,
            passed_over=passed_over,
        )
        for number, changed in sorted(choice.changed.items()):
            known[number] = changed
            record(store, changed)
        generation = known.get(choice.run)
        good = generation is not None and generation.state == generations.GOOD
        if slots:
            settle_record(slots, choice.reboot_to, good=good)
        if passed_over and good:
            point_at(store, choice.run)
        if generation is None:
            raise KosError("the store holds no generation", hint="flash the device again: kos-tool bootstrap")
        try:
            document = store.manifest(generation)
            manifest = codec.load(document, where=f"generation {generation.number}")
        except KosError as error:
            if generation.state == generations.FAILED:
                raise  # there is nothing else
            known[generation.number] = generation.failed(str(error))
            record(store, known[generation.number])
            continue
        return generation, manifest, document


def record(store: Store, changed: Generation) -> None:
    """Keep what became of a generation. Full or broken storage does not keep a device from starting."""
    if changed.reason:
        say(f"generation {changed.number} failed: {changed.reason}")
    try:
        store.put_generation(changed)
    except OSError as error:
        say(f"generation {changed.number}: its record cannot be written: {error.strerror}")


def point_at(store: Store, number: int) -> None:
    """Have the current link follow when its generation's slot does not start any more: an upgrade asks it
    which parts run.
    """
    try:
        if store.current() != number:
            store.move_current(number)
    except OSError as error:
        say(f"generation {number} cannot become the current one: {error.strerror}")


def settle_record(slots: Slots, reboot_to: str, *, good: bool) -> None:
    """Bring the boot record up to date with what was chosen; does not return when the other slot is to be
    started.

    Args:
        reboot_to: that slot.
        good: what was chosen is known to work.
    """
    if slots.mend_record():
        say(f"the boot record was damaged, it begins anew with slot {slots.running}")
    found = slots.record()
    if reboot_to:
        say(f"no generation of slot {slots.running} works, starting slot {reboot_to}")
        # On trial, though it was good: where it does not start, we are back here and know it.
        slots.write_record(replace(found.begin_trial(reboot_to), good=slots.running))
        end(AGAIN)
    if slots.passed_over() or (good and (found.good != slots.running or found.trial)):
        slots.write_record(found.confirm(slots.running))


def _attempts(store: Store, known: dict[int, Generation]) -> int:
    """Starts that the newest generation on trial allows itself."""
    for _number, one in sorted(known.items(), reverse=True):
        if one.state == generations.TRIAL:
            try:
                return codec.load(store.manifest(one)).options.boot_attempts
            except KosError:
                break
    return _ATTEMPTS


def tell(event: dict[str, Any]) -> None:
    """What the upgrade engine has to say, on the console."""
    details = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
    say(f"{event['event']}: {details}")


def restart() -> None:
    """Start the device anew, asked for by the upgrade engine's process."""
    os.kill(1, signal.SIGUSR1)
    signal.pause()


def keep(watchdog: Watchdog, children: dict[int, str]) -> None:
    """Feed the watchdog and bury the dead until the system ends; then end the device."""
    wanted: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda found, _frame: wanted.append(found))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched = {signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    while True:
        watchdog.feed()
        found = signal.sigtimedwait(watched, watchdog.seconds / _FEEDS if watchdog.armed else 3600.0)
        if found is not None and found.si_signo != signal.SIGCHLD:
            say("restart" if found.si_signo == signal.SIGUSR1 else "power off")
            watchdog.feed()
            stop_system(children)
            end(AGAIN if found.si_signo == signal.SIGUSR1 else OFF)
        for name, status in buried(children):
            say(f"{name} ended with {status}")
            # An orderly end was asked for on the control socket; anything else is a reason to start anew.
            end(OFF if status == 0 else AGAIN)


def buried(children: dict[int, str]) -> list[tuple[str, int]]:
    """Wait for every process that is dead; those of `children` among them with their exit codes."""
    found = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        if pid in children:
            found.append((children.pop(pid), os.waitstatus_to_exitcode(status)))


def stop_system(children: dict[int, str]) -> None:
    """Ask the supervisor to stop its apps, and wait a little for it."""
    for pid, name in children.items():
        if name == "the supervisor":
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10.0
    while any(name == "the supervisor" for name in children.values()) and time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGCHLD}, 1.0)
        buried(children)
