"""Read what assurance judges: projects, manifests, images, waivers and status documents."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.assurance import Board, Region, Waiver, all_rules, parse_waivers, rule_ids
from kos.assurance.image import ImageFacts, Signature, read_blob
from kos.assurance.running import RunningFacts, parse_status
from kos.assurance.signing_keys import KEYS_BYTES_MAX, SigningKey, parse_signing_keys
from kos.assurance.waivers import WAIVER_BYTES_MAX
from kos.manifest import Manifest, PlatformSpec, codec, limits
from kos.tool import output

if TYPE_CHECKING:
    from kos.build.manifest_zip import ManifestZip

SIGNING_KEYS = "signing_keys.toml"
STATUS_BYTES_MAX = 64 << 20
SBOM_BYTES_MAX = 64 << 20
PLATFORM_MEMORY = (
    64 << 20
)  # bytes that kernel, supervisor and message servers take; an estimate on the safe side


@dataclass(frozen=True)
class Subject:
    """What is judged: a manifest, its image where there is one, and the directory that it came from."""

    manifest: Manifest
    directory: Path
    image: ImageFacts | None = None


def read_subject(
    source: Path,
    platform: str,
    *,
    images: bool = False,
    sbom: Path | None = None,
    trust: Path | None = None,
    keys: Path | None = None,
) -> Subject:
    """A project, a `manifest.json` or a `manifest.zip`.

    Args:
        source: which.
        platform: that a project is made for.
        images: look into the images of a `manifest.zip` too.
        sbom: CycloneDX SBOM of those images.
        trust: trust document with the keys whose signatures count; None takes any.
        keys: what is known of signing keys; None takes `signing_keys.toml` beside the source.

    Raises:
        KosError: none of the three, or one that cannot be read.
    """
    PlatformSpec.parse(platform)  # refused though only a project is made for it
    if source.suffix == ".json":
        data = read_bounded(source, limits.MANIFEST_BYTES_MAX)
        return Subject(codec.load(data, where=str(source), dangling_ok=True), source.parent)
    if source.suffix == ".zip" and not source.is_dir():
        from kos.build.manifest_zip import ManifestZip

        with ManifestZip(source) as archive:
            known = read_signing_keys(keys or source.parent / SIGNING_KEYS)
            image = _image(archive, sbom, trust, known) if images else None
            return Subject(archive.manifest, source.parent, image)
    from kos.manifest.load import load_project

    project = load_project(source)
    return Subject(project.manifest(platform), project.root)


def _image(
    archive: ManifestZip, sbom: Path | None, trust: Path | None, known: Mapping[str, SigningKey]
) -> ImageFacts:
    blobs = {}
    for sha256 in archive.blobs:
        with tempfile.TemporaryFile() as file:
            archive.copy_blob(sha256, file)
            blobs[sha256] = read_blob(file)
    parts = archive.manifest.parts
    facts = ImageFacts(
        blobs,
        signatures=_signatures(archive, trust, known),
        components=_components(sbom) if sbom else None,
        root_size=sum(part.size for part in parts.values()) if parts else None,
    )
    return _with_root(facts, archive) if "root" in parts else facts


def _with_root(facts: ImageFacts, archive: ManifestZip) -> ImageFacts:
    from kos.tool import root_image

    arch = PlatformSpec.parse(archive.manifest.platform).arch
    with tempfile.NamedTemporaryFile() as file:
        archive.copy_blob(archive.manifest.parts["root"].sha256, file)
        file.flush()
        path = Path(file.name)
        return replace(
            facts,
            root=root_image.root_files(path),
            filters=root_image.root_filters(path),
            expected_filters=root_image.expected_filters(arch) if arch else None,
        )


def _signatures(
    archive: ManifestZip, trust: Path | None, known: Mapping[str, SigningKey]
) -> tuple[Signature, ...]:
    """Each signature, valid where it verifies and its key is trusted; with what is known of its key."""
    from kos.keys import signing

    trusted = signing.load_trust(read_bounded(trust, signing.TRUST_MAX), str(trust)).keys if trust else None
    found = []
    for name, document in sorted(archive.signatures.items()):
        try:
            key = signing.verify(document, archive.manifest_bytes, f"signature {name}")
        except KosError:
            found.append(Signature(name, valid=False))
        else:
            of_key = known.get(key, SigningKey(development=False))
            valid = trusted is None or key in trusted
            found.append(Signature(key[:16], valid, of_key.development, of_key.expires))
    return tuple(found)


def read_running(name: str | None) -> tuple[Subject, RunningFacts]:
    """A system that runs on this machine, as its own manifest says it and as the kernel sees it."""
    from kos.tool import inspection, runs

    with runs.connect(name) as client:
        status = client.status()
    directory = runs.base() / (name or runs.names()[0])
    if not (directory / "manifest.json").exists():
        raise KosError(
            "it runs in an emulated device, whose processes cannot be seen from here",
            hint="judge its manifest.zip; the running system is judged on the host platform",
        )
    subject = read_subject(directory / "manifest.json", "host")
    return subject, parse_status(inspection.inspect(subject.manifest, status, directory))


def _components(sbom: Path) -> frozenset[tuple[str, str]]:
    """Names and versions in a CycloneDX SBOM."""
    value = _json(sbom, SBOM_BYTES_MAX)
    listed = value.get("components", []) if isinstance(value, dict) else None
    if not isinstance(listed, list) or not all(isinstance(component, dict) for component in listed):
        raise KosError("expected a CycloneDX SBOM: an object with components", where=str(sbom))
    return frozenset((str(component.get("name")), str(component.get("version"))) for component in listed)


def read_signing_keys(file: Path) -> dict[str, SigningKey]:
    """What is known of signing keys; nothing where there is no file."""
    if not file.exists():
        return {}
    return parse_signing_keys(_text(file, KEYS_BYTES_MAX), where=str(file))


def read_waivers(file: Path) -> tuple[Waiver, ...]:
    """The waivers in a file; none where there is no file."""
    if not file.exists():
        return ()
    return parse_waivers(_text(file, WAIVER_BYTES_MAX), rule_ids(), where=str(file))


def read_status(file: Path) -> RunningFacts:
    """A status document."""
    try:
        return parse_status(_json(file, STATUS_BYTES_MAX))
    except KosError as error:
        raise KosError(error.message, where=str(file), hint=error.hint) from None


def board_of(manifest: Manifest) -> Board | None:
    """What is known of the board that a manifest is for; None on the host or where nothing is."""
    from kos.build.image.device import DATA_SIZE
    from kos.platforms import board

    try:
        facts = board(PlatformSpec.parse(manifest.platform))
    except KosError:
        return None
    return Board(
        facts.name,
        ram=facts.memory,
        reserved=PLATFORM_MEMORY,
        devices=tuple(Region(base, size) for base, size in facts.devices),
        data_size=DATA_SIZE,
        slot_size=facts.root_size,
    )


def below_repository(directory: Path) -> str:
    """Where a directory is below the top of its Git repository, with a slash at its end; empty for neither.

    Code hosts look findings up from there.
    """
    here = directory.resolve()
    top = next((parent for parent in (here, *here.parents) if (parent / ".git").exists()), here)
    return "" if top == here else f"{here.relative_to(top).as_posix()}/"


def rule_table() -> str:
    """The rules as a table."""
    rows = [(rule.group, rule.id, rule.severity.word, rule.depth.value, rule.title) for rule in all_rules()]
    return output.table(["group", "rule", "severity", "depth", "finds"], rows)


def _text(file: Path, limit: int) -> str:
    try:
        return read_bounded(file, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise KosError(f"not UTF-8 at byte {error.start}", where=str(file)) from None


def _json(file: Path, limit: int) -> Any:
    try:
        return json.loads(_text(file, limit))
    except (json.JSONDecodeError, RecursionError) as error:
        raise KosError(f"not JSON: {error}", where=str(file)) from None
