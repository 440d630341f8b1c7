"""Bring a new generation onto the device: refuse, store, verify, and only then let it count.

The order of steps is what makes a power cut harmless; see docs/adr/0041-generations.md before changing it.
How the bytes arrive is not its business, nor is starting what was installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kos.abi.errors import KosError
from kos.abi.records import dataclass
from kos.device.store import bootrecord
from kos.device.store.generations import Generation, Part
from kos.device.store.store import Store
from kos.device.upgrade.check import Facts, check
from kos.device.upgrade.slots import Slots
from kos.keys import signing
from kos.manifest import codec, overlay
from kos.manifest.images import BuiltImage
from kos.manifest.model import Manifest

SIGNATURES_MAX = 64


TICKET_MAX = 64  # characters


@dataclass(frozen=True)
class Overlay:
    """An overlay as it was offered: its bytes, and signature name → document."""

    document: bytes
    signatures: Mapping[str, bytes]


def app_images(manifest: Manifest) -> dict[str, int]:
    """SHA-256 and size of every app image that a manifest names."""
    images = [app.image for app in manifest.apps.values()]
    return {image.sha256: image.size for image in images if isinstance(image, BuiltImage)}


@dataclass(frozen=True)
class Installed:
    """What an upgrade led to: the generation, and whether the device must start anew for it."""

    generation: Generation
    reboot: bool


class Installer:
    """One upgrade."""

    def __init__(self, store: Store, slots: Slots | None, facts: Callable[[], Facts]) -> None:
        self._store = store
        self._slots = slots
        self._facts = facts
        self._manifest: Manifest | None = None
        self._document = b""
        self._signatures: Mapping[str, bytes] = {}
        self._parts: dict[str, Part] = {}
        self._base = self._overlay = self._ticket = ""

    def offer(
        self, document: bytes, signatures: Mapping[str, bytes], over: Overlay | None = None, ticket: str = ""
    ) -> dict[str, int]:
        """Look at a manifest; the blobs that must come, with their sizes. Nothing is written.

        Args:
            document: a release's manifest.
            signatures: of it.
            over: what is laid over it.
            ticket: kept with the generation.

        Raises:
            KosError: the device refuses it.
        """
        self._manifest = None
        if max(len(signatures), len(over.signatures) if over else 0) > SIGNATURES_MAX:
            raise KosError(f"expected at most {SIGNATURES_MAX} signatures, found {len(signatures)}")
        if len(ticket) > TICKET_MAX:
            raise KosError(f"a ticket has at most {TICKET_MAX} characters")
        manifest = codec.load(document, where="manifest.json")
        facts = self._facts()
        self._base = self._overlay = ""
        signed = document
        if over is not None:
            document = self._lay_over(document, over, facts)
            manifest = codec.load(document, where="manifest.json with its overlay")
        missing = self._store.missing(app_images(manifest))
        check(manifest, signed, signatures, sum(missing.values()), facts)
        self._manifest, self._document, self._signatures = manifest, document, signatures
        self._ticket = ticket
        self._parts = {name: Part(part.sha256, part.size) for name, part in manifest.parts.items()}
        new = self._new_parts()
        if new and self._slots is not None and self._slots.record().good != self._slots.running:
            raise KosError(
                "the running system is still on trial, and the other slot is the one to fall back to",
                hint="try again when it is healthy",
            )
        return missing | {part.sha256: part.size for part in new.values()}

    def _lay_over(self, document: bytes, over: Overlay, facts: Facts) -> bytes:
        """The release with the overlay on it, which is signed as a release is."""
        if not facts.running.options.disable_signing and facts.trust is not None:
            signing.require(over.document, over.signatures, facts.trust, overlay.CONTEXT)
        merged = overlay.lay_over(document, over.document)
        self._base, self._overlay = overlay.digest(document), overlay.digest(over.document)
        return merged

    def take(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """Take in one of the blobs that `offer` asked for.

        Raises:
            KosError: it was not asked for, or is damaged.
        """
        manifest = self._offered()
        for name, part in self._new_parts().items():
            if part.sha256 == sha256 and self._slots is not None:
                # Half a part makes the other slot useless: nothing may lead there any more.
                self._forget_other_slot()
                self._slots.write(name, sha256, part.size, chunks)
                return
        images = app_images(manifest)
        if sha256 not in images:
            raise KosError(f"blob {sha256[:12]} was not asked for")
        self._store.add_blob(sha256, images[sha256], chunks)

    def commit(self, *, persistent: bool = True) -> Installed:
        """Make the generation. From here on it is what the device starts.

        Without `persistent` the current link stays where it is: the generation lasts until the next start.
        """
        manifest = self._offered()
        left = self._store.missing(app_images(manifest))
        if left:
            raise KosError(f"{len(left)} blobs are still missing")
        changed = self._new_parts()
        for name, part in changed.items():
            if self._slots is None or self._slots.digest(name, self._slots.other, part.size) != part.sha256:
                raise KosError(f"{name} is still missing")
        self._store.unpack_images(app_images(manifest))
        signatures = {name: text.decode("utf-8", "replace") for name, text in self._signatures.items()}
        sha256 = self._store.add_manifest(self._document, signatures)
        known = self._store.generations()
        generation = Generation(
            number=self._store.next_number(),
            manifest=sha256,
            release=manifest.release,
            slot=self._slot(bool(changed)),
            parts=self._parts or self._running_parts(known),
            base=self._base,
            overlay=self._overlay,
            ticket=self._ticket,
        )
        self._store.put_generation(generation)
        self._manifest = None
        if changed and self._slots is not None:
            tries = manifest.options.boot_attempts or bootrecord.TRIES_MAX
            # The current link follows when the slot has started; until then the old one is what a start leads
            # to.
            self._slots.write_record(self._slots.record().begin_trial(self._slots.other, tries))
            return Installed(generation, reboot=True)
        if persistent:
            self._store.move_current(generation.number)
        return Installed(generation, reboot=False)

    def _offered(self) -> Manifest:
        if self._manifest is None:
            raise KosError("nothing was offered")
        return self._manifest

    def _slot(self, changed: bool) -> str:
        if self._slots is None:
            return ""
        return self._slots.other if changed else self._slots.running

    def _running_parts(self, known: Mapping[int, Generation]) -> Mapping[str, Part]:
        current = known.get(self._store.current())
        return current.parts if current else {}

    def _new_parts(self) -> dict[str, Part]:
        """The parts to write: all of them when one differs from what runs, because a slot is one whole."""
        if self._slots is None or not self._parts:
            return {}
        running = self._running_parts(self._store.generations())
        return {} if dict(running) == self._parts else self._parts

    def _forget_other_slot(self) -> None:
        assert self._slots is not None
        record = self._slots.record()
        if record.trial:
            self._slots.write_record(record.give_up())
        for generation in self._store.generations().values():
            if generation.slot == self._slots.other and generation.state != "failed":
                self._store.put_generation(generation.failed("its slot was given to a newer generation"))
