"""The power goes after every step of an upgrade, with what was not flushed lost at random: the old or the new
generation runs, whole, never neither; the apps' data is kept; and the upgrade can be done again.
"""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kos.build import tree
from kos.device.store import bootrecord, generations
from kos.device.store.filesystem import FileSystem
from kos.device.store.generations import GOOD, TRIAL, Generation, Part
from kos.device.store.store import Store
from kos.device.upgrade.check import Facts
from kos.device.upgrade.installer import Installer, app_images
from kos.device.upgrade.slots import Slots
from kos.manifest import App, BuiltPythonImage, Context, codec
from kos.manifest.model import Manifest, SystemPart

from .recorder import Recorder

pytestmark = pytest.mark.group("powercut")

SEEDS = 3  # ways in which what was not flushed is lost, at each step
PART_SIZE = 96 << 10
SLOT_SIZE = 256 << 10
OPTIONS = {"persistent_boot": True, "disable_signing": True}


def image(text: str) -> bytes:
    """An app image."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("site")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name in ("a.py", "b.py"):
            data = f"{name} {text}\n".encode() * 500
            info = tarfile.TarInfo(f"site/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def system(release: str, blobs: list[bytes], parts: dict[str, bytes]) -> tuple[Manifest, bytes]:
    """A manifest of apps with these images and parts, and its bytes."""
    ctx = Context("test", release=release).put_msg_server("msg0").set_kos_options(**OPTIONS)
    for number, blob in enumerate(blobs):
        built = BuiltPythonImage(hashlib.sha256(blob).hexdigest(), len(blob), "main:main")
        ctx = ctx.put_app(App(f"app{number}", built))
    named = {name: SystemPart(hashlib.sha256(data).hexdigest(), len(data)) for name, data in parts.items()}
    manifest = replace(ctx.manifest(), parts=named)
    return manifest, codec.dump(manifest)


class World:
    """A device's storage in a folder: store, apps' data, two slots."""

    def __init__(self, top: Path, files: FileSystem, slot: str) -> None:
        self.store = Store(top / "store", files)
        self.top = top
        names = ["bootfs-a", "bootfs-b", "root-a", "root-b", "env"]
        self.slots = Slots(slot, {name: top / "dev" / name for name in names}, files)

    def boot(self) -> Generation:
        """What boot loader and process 1 do; the generation that runs."""
        slot, record = self.slots.record().take()
        self.slots.write_record(record)
        self.slots.running = slot
        self.store.recover()
        over = self.slots.passed_over()
        known, current = self.store.generations(), self.store.current()
        choice = generations.choose(known, current, slot, 3, passed_over=over)
        assert not choice.reboot_to
        for changed in choice.changed.values():
            self.store.put_generation(changed)
        return self.store.generations()[choice.run]

    def upgrade(self, document: bytes, blobs: dict[str, bytes], running: Manifest) -> Generation:
        facts = Facts(running, None, 1 << 30, self.slots.room())
        installer = Installer(self.store, self.slots, lambda: facts)
        for sha256 in installer.offer(document, {}):
            data = blobs[sha256]
            installer.take(sha256, [data[at : at + 16384] for at in range(0, len(data), 16384)])
        return installer.commit().generation

    def confirm(self, number: int) -> None:
        """What the engine does when the generation is healthy."""
        self.store.put_generation(replace(self.store.generations()[number], state=GOOD, attempts=0))
        if self.slots.record().good != self.slots.running or self.slots.record().trial:
            self.slots.write_record(self.slots.record().confirm(self.slots.running))
        if self.store.current() != number:
            self.store.move_current(number)


def factory(
    top: Path, document: bytes, blobs: list[bytes], parts: dict[str, bytes], state: str = GOOD
) -> None:
    """A device on generation 1; as it leaves the workshop where that is on trial."""
    (top / "dev").mkdir(parents=True)
    for name in ("bootfs", "root"):
        (top / "dev" / f"{name}-a").write_bytes(parts[name].ljust(SLOT_SIZE, b"\0"))
        (top / "dev" / f"{name}-b").write_bytes(bytes(SLOT_SIZE))
    (top / "dev/env").write_bytes(bootrecord.partition_image())
    (top / "apps/app0").mkdir(parents=True)
    (top / "apps/app0/data").write_bytes(b"kept")
    store = Store(top / "store")
    store.recover()
    for blob in blobs:
        store.add_blob(hashlib.sha256(blob).hexdigest(), len(blob), [blob])
    manifest = codec.load(document)
    store.unpack_images(app_images(manifest))
    facts = {name: Part(hashlib.sha256(data).hexdigest(), len(data)) for name, data in parts.items()}
    sha256 = store.add_manifest(document, {})
    store.put_generation(Generation(1, sha256, manifest.release, "a", facts, state))
    store.move_current(1)


def check_whole(world: World, generation: Generation, contents: dict[str, bytes]) -> None:
    """That everything that the generation needs is there, byte for byte."""
    manifest = codec.load(world.store.manifest(generation))
    for sha256 in app_images(manifest):
        wanted = world.top / "wanted"
        shutil.rmtree(wanted, ignore_errors=True)
        wanted.mkdir()
        blob = world.top / "blob"
        blob.write_bytes(contents[sha256])
        tree.unpack(blob, wanted)
        assert tree.digest(wanted) == tree.digest(world.store.image(sha256))
    for name, part in generation.parts.items():
        assert world.slots.digest(name, generation.slot, part.size) == part.sha256
    assert (world.top / "apps/app0/data").read_bytes() == b"kept"


def before_upgrade(top: Path, what: str) -> tuple[Manifest, bytes, dict[str, bytes]]:
    """A device with release 1.0.0 below `top`; what runs there, an upgrade of apps or of the system to 1.1.0,
    and every blob.
    """
    blobs = [image("same"), image("old"), image("new")]
    old_parts = {name: (name.encode() * PART_SIZE)[:PART_SIZE] for name in ("bootfs", "root")}
    new_parts = (
        {name: (b"new " + data)[:PART_SIZE] for name, data in old_parts.items()} if what == "system" else {}
    )
    old, old_document = system("1.0.0", blobs[:2], {})
    _, new_document = system("1.1.0", [blobs[0], blobs[2]], new_parts)
    contents = {hashlib.sha256(data).hexdigest(): data for data in [*blobs, *new_parts.values()]}
    factory(top, old_document, blobs[:2], old_parts)
    return old, new_document, contents


@pytest.mark.parametrize("what", ["apps", "system"])
def test_every_cut_leaves_the_old_or_the_new_generation(what, tmp_path, figures):
    top = tmp_path / "device"
    old, new_document, contents = before_upgrade(top, what)
    recorder = Recorder(top)
    world = World(top, recorder, "a")
    number = world.upgrade(new_document, contents, old).number
    if what == "system":
        assert world.boot().number == number
    world.confirm(number)
    points = len(recorder.steps) + 1

    outcomes: Counter[tuple[str, str]] = Counter()
    for after in range(points):
        kind = recorder.steps[after].kind if after < len(recorder.steps) else "end"
        for seed in range(SEEDS):
            left = tmp_path / "left"
            shutil.rmtree(left, ignore_errors=True)
            recorder.cut(after, random.Random(f"{after}/{seed}")).write_out(left)
            found = World(left, FileSystem(), "a")
            generation = found.boot()
            assert generation.release in ("1.0.0", "1.1.0"), f"after step {after}"
            check_whole(found, generation, contents)
            outcomes[kind, generation.release] += 1
            if generation.release == "1.0.0" and seed == 0:
                again = found.upgrade(new_document, contents, old)
                generation = found.boot()
                assert generation.number == again.number
                check_whole(found, generation, contents)
    rows = [f"{what}: {points} points × {SEEDS}; step at which the power went: old / new generation runs"]
    for kind in sorted({kind for kind, _ in outcomes}):
        rows.append(f"  {kind:<8} {outcomes[kind, '1.0.0']:>5} / {outcomes[kind, '1.1.0']}")
    figures("\n".join(rows))
    assert outcomes["end", "1.1.0"] == SEEDS
    assert {release for _, release in outcomes} == {"1.0.0", "1.1.0"}


def replay(recorder: Recorder, folder: Path, slot: str = "a"):
    """Each point with the kind of its step, and the device that a cut there leaves, in each of the ways."""
    for after in range(len(recorder.steps) + 1):
        kind = recorder.steps[after].kind if after < len(recorder.steps) else "end"
        for seed in range(SEEDS):
            shutil.rmtree(folder, ignore_errors=True)
            recorder.cut(after, random.Random(f"{after}/{seed}")).write_out(folder)
            yield kind, World(folder, FileSystem(), slot)


def test_a_cut_during_the_first_start(tmp_path, figures):
    """A device from the workshop has nothing to go back to: its one generation starts, however often the
    power goes before it is found healthy, and is good in the end.
    """
    blob = image("first")
    parts = {name: (name.encode() * PART_SIZE)[:PART_SIZE] for name in ("bootfs", "root")}
    _, document = system("1.0.0", [blob], {})
    contents = {hashlib.sha256(blob).hexdigest(): blob}
    factory(tmp_path / "device", document, [blob], parts, TRIAL)
    recorder = Recorder(tmp_path / "device")
    world = World(tmp_path / "device", recorder, "a")
    starts = 5  # more than a trial has
    for _ in range(starts):
        assert world.boot().number == 1
    world.confirm(1)
    outcomes: Counter[tuple[str, str]] = Counter()
    for kind, found in replay(recorder, tmp_path / "left"):
        generation = found.boot()
        assert generation.number == 1
        check_whole(found, generation, contents)
        outcomes[kind, generation.state] += 1
        found.confirm(1)
        assert found.boot().state == GOOD
    figures(
        f"{starts} first starts: {len(recorder.steps) + 1} points × {SEEDS}, {dict(sorted(outcomes.items()))}"
    )
    assert outcomes["end", GOOD] == SEEDS and {state for _, state in outcomes} > {GOOD}


def test_a_cut_while_a_bad_generation_is_taken_back(tmp_path, figures):
    """From its installation to the return: the old or the new one starts, and at the end the old one."""
    blobs = [image("same"), image("old"), image("bad")]
    parts = {name: (name.encode() * PART_SIZE)[:PART_SIZE] for name in ("bootfs", "root")}
    old, old_document = system("1.0.0", blobs[:2], {})
    _, bad_document = system("1.1.0", [blobs[0], blobs[2]], {})
    contents = {hashlib.sha256(data).hexdigest(): data for data in blobs}
    factory(tmp_path / "device", old_document, blobs[:2], parts)
    recorder = Recorder(tmp_path / "device")
    world = World(tmp_path / "device", recorder, "a")
    bad = world.upgrade(bad_document, contents, old)
    # What the engine does with a generation that is not healthy.
    world.store.put_generation(bad.failed("beta restarted 3 times"))
    world.store.move_current(1)
    outcomes: Counter[tuple[str, str]] = Counter()
    for kind, found in replay(recorder, tmp_path / "left"):
        generation = found.boot()
        check_whole(found, generation, contents)
        outcomes[kind, generation.release] += 1
        if kind == "end":
            assert found.store.generations()[2].reason == "beta restarted 3 times"
    figures(f"taken back: {len(recorder.steps) + 1} points × {SEEDS}, {dict(sorted(outcomes.items()))}")
    assert outcomes["end", "1.0.0"] == SEEDS


def test_a_cut_while_garbage_is_collected(tmp_path, figures):
    """The current generation stays whole, and so does one that brings back what was half removed."""
    blobs = [image(f"release {number}") for number in range(6)]
    parts = {name: (name.encode() * PART_SIZE)[:PART_SIZE] for name in ("bootfs", "root")}
    contents = {hashlib.sha256(data).hexdigest(): data for data in blobs}
    first, document = system("1.0.0", blobs[:1], {})
    factory(tmp_path / "device", document, blobs[:1], parts)
    world = World(tmp_path / "device", FileSystem(), "a")
    running = first
    for number, blob in enumerate(blobs[1:], start=1):
        following, document = system(f"1.{number}.0", [blob], {})
        world.confirm(world.upgrade(document, contents, running).number)
        running = following
    recorder = Recorder(tmp_path / "device")
    store = Store(tmp_path / "device/store", recorder)
    known = store.generations()
    kept = generations.keep(known, store.current())
    removed = store.collect(
        {number: app_images(codec.load(store.manifest(known[number]))) for number in kept}
    )
    assert any(name.startswith("images/") for name in removed)
    _, again = system("2.0.0", blobs[:2], {})
    for _kind, found in replay(recorder, tmp_path / "left"):
        generation = found.boot()
        assert generation.release == "1.5.0"
        check_whole(found, generation, contents)
        found.upgrade(again, contents, running)
        check_whole(found, found.boot(), contents)
    figures(f"collected: {len(recorder.steps) + 1} points × {SEEDS}, the current generation runs after each")
