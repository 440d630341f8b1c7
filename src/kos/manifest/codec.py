"""Manifests as canonical JSON (RFC 8785), and back.

What is read may be hostile: size and depth are looked at before anything is parsed, unknown and repeated keys
are errors, and each value has a limit. Equal manifests have equal bytes.
"""

from __future__ import annotations

import json
import re

from kos.abi.hints import Any
from kos.manifest import limits
from kos.manifest.errors import ManifestError
from kos.manifest.fields import brief, json_definition
from kos.manifest.model import FORMAT, MANIFEST, VERSION, Manifest
from kos.manifest.references import check_references

# A string, or one bracket: what is left when strings are skipped tells the nesting. The last quote may be
# missing, so that an unfinished string is one match and never searched again.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.?)*+"?|[\[\]{}]', re.DOTALL)


def to_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as the plain object that its JSON says."""
    return {"format": FORMAT, "version": VERSION, **MANIFEST.dump(manifest)}


def dump(manifest: Manifest) -> bytes:
    """Canonical JSON in UTF-8.

    Raises:
        ManifestError: the manifest is larger than `load` would read.
    """
    import rfc8785  # only those who write need it; a device reads

    data = rfc8785.dumps(to_json(manifest))
    if len(data) > limits.MANIFEST_BYTES_MAX:
        raise ManifestError(
            f"a manifest of {len(data)} bytes is too big, at most {limits.MANIFEST_BYTES_MAX}"
        )
    return data


def load(data: bytes, *, where: str = "manifest.json", dangling_ok: bool = False) -> Manifest:
    """The manifest in `data`.

    Args:
        data: JSON in UTF-8.
        where: the file's name, for errors.
        dangling_ok: also take a manifest whose grants name what does not exist, as a checker must.

    Raises:
        ManifestError: anything else than a whole, consistent manifest.
    """
    try:
        manifest = from_json(parse(data))
        if not dangling_ok:
            check_references(manifest)
    except ManifestError as error:
        raise ManifestError(error.message, where=where, hint=error.hint) from None
    return manifest


def from_json(value: Any) -> Manifest:
    """The manifest that a parsed object says, references unchecked."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ManifestError(f'not a manifest: expected an object with "format": "{FORMAT}"')
    version = value.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ManifestError(
            f"manifest.version: expected {VERSION}, found {brief(version)}",
            hint="a newer kos-tool made this manifest; install the matching SDK",
        )
    inside = {key: item for key, item in value.items() if key not in ("format", "version")}
    return MANIFEST.load(inside, "manifest")


def parse(data: bytes) -> Any:
    """JSON as Python, refusing what is too big, too deep, ambiguous or not JSON."""
    if len(data) > limits.MANIFEST_BYTES_MAX:
        raise ManifestError(f"{len(data)} bytes are too many, at most {limits.MANIFEST_BYTES_MAX}")
    depth = 0
    for token in _TOKEN.finditer(data):
        first = token[0][:1]
        if first in b"{[":
            depth += 1
            if depth > limits.JSON_DEPTH_MAX:
                raise ManifestError(f"nested too deep, at most {limits.JSON_DEPTH_MAX} levels")
        elif first in b"]}":
            depth -= 1
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ManifestError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ManifestError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        # int() itself refuses thousands of digits
        raise ManifestError("not JSON that KOS reads: a number has too many digits") from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ManifestError(f"key {brief(key)} appears twice")
        made[key] = value
    return made


def _no_constant(word: str) -> None:
    raise ManifestError(f"{word} is not JSON")


def schema() -> dict[str, Any]:
    """The JSON Schema of the format, for docs/schema/manifest-1.schema.json."""
    shape = MANIFEST.schema()
    shape["properties"] = {"format": {"const": FORMAT}, "version": {"const": VERSION}, **shape["properties"]}
    shape["required"] = sorted([*shape["required"], "format", "version"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "KOS manifest",
        "description": "What a system is. Generated from kos.manifest by `python -m kos.manifest.schema`.",
        **shape,
        "$defs": json_definition(),
    }
