"""Overlays: a partial manifest that is laid over a release, for one device, a group or one's own board. Pure.

    {"format": "kos.overlay", "version": 1,
     "apps": {"pump": {"environ": {"RATE": "5"}}}, "settings": {"heartbeat": 5}}

An app of the release may get other `environ`, `config` (each merged by key; null takes a key away) and
`arguments` (replaced as a whole). An entry that has an `image` is a whole app, added or in place of the
release's; null takes the app away. `ports` adds ports to message servers. `settings` are the device's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from kos.abi.hints import Any
from kos.manifest import codec
from kos.manifest.errors import ManifestError
from kos.manifest.model import Manifest

FORMAT, VERSION = "kos.overlay", 1
BYTES_MAX = 128 * 1024  # of one overlay in canonical form
PARTS = ("apps", "ports", "settings")
MERGED = ("environ", "config")  # of an app, key by key
APP_PARTS = (*MERGED, "arguments")
CONTEXT = b"KOS overlay signature v1\0"  # an overlay's signature is good for nothing else


def parse(data: bytes) -> dict[str, Any]:
    """An overlay's document, its form checked; what only a release can tell is checked by `lay_over`.

    Raises:
        ManifestError: it is none.
    """
    if len(data) > BYTES_MAX:
        raise ManifestError(f"an overlay has at most {BYTES_MAX} bytes, found {len(data)}")
    document = codec.parse(data)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ManifestError(f'not an overlay: expected an object with "format": "{FORMAT}"')
    if document.get("version") != VERSION:
        raise ManifestError(f"overlay.version: expected {VERSION}, found {document.get('version')!r}"[:200])
    check(document)
    return document


def check(document: Mapping[str, Any]) -> None:
    """Raises ManifestError for what an overlay may not say."""
    said = set(document) - {"format", "version"}
    strange = sorted(said - set(PARTS))
    if strange or not said:
        raise ManifestError(
            f"an overlay says {', '.join(PARTS)}; found {strange[0][:60] if strange else 'nothing'!r}"
        )
    for part in said:
        if not isinstance(document[part], dict):
            raise ManifestError(f"overlay.{part}: expected an object")
    for name, app in document.get("apps", {}).items():
        if app is not None and not isinstance(app, dict):
            raise ManifestError(f"overlay of app {name[:60]!r}: expected an object or null")
        if app is None or "image" in app:
            continue
        if not app or set(app) - set(APP_PARTS):
            raise ManifestError(
                f"overlay of app {name[:60]!r}: expected only {', '.join(APP_PARTS)}",
                hint="a whole app has an image too",
            )
        for key in MERGED:
            if not isinstance(app.get(key, {}), dict):
                raise ManifestError(f"overlay of app {name[:60]!r}: {key} must be an object")
    for server, ports in document.get("ports", {}).items():
        if not isinstance(ports, list):
            raise ManifestError(f"overlay.ports.{server[:60]}: expected a list of names")


def canonical(document: Mapping[str, Any]) -> bytes:
    """The bytes that are hashed and signed.

    Raises:
        ManifestError: it is no overlay, or has no canonical form.
    """
    import rfc8785

    try:
        data: bytes = rfc8785.dumps({"format": FORMAT, "version": VERSION, **document})
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise ManifestError(
            "the overlay has no canonical form", hint="numbers within 2^53, whole characters"
        ) from error
    parse(data)
    return data


def blobs_of(document: Mapping[str, Any]) -> dict[str, int]:
    """SHA-256 and size of the images of the apps that an overlay brings.

    Raises:
        ManifestError: such an image is not built.
    """
    found: dict[str, int] = {}
    for name, app in document.get("apps", {}).items():
        if not app or "image" not in app:
            continue
        image = app["image"] if isinstance(app["image"], dict) else {}
        if image.get("kind") == "service":
            continue
        sha256, size = image.get("sha256"), image.get("size")
        if not isinstance(sha256, str) or type(size) is not int or size < 0:
            raise ManifestError(f"overlay of app {name[:60]!r}: its image is not built")
        found[sha256] = size
    return found


def lay_over(release: bytes, overlay: bytes) -> bytes:
    """The manifest that a device runs: a release with an overlay on it, in canonical form.

    Raises:
        ManifestError: they do not fit each other.
    """
    base = json.loads(release)
    document = parse(overlay)
    apps: dict[str, Any] = base["apps"]
    for name, change in document.get("apps", {}).items():
        if change is None:
            apps.pop(name, None)
        elif "image" in change:
            apps[name] = change
        elif name not in apps:
            raise ManifestError(
                f"the overlay changes app {name[:60]!r}, which the release does not have",
                hint="apps of the release: " + ", ".join(sorted(apps)),
            )
        else:
            _change(apps[name], change)
    for server, ports in document.get("ports", {}).items():
        if server not in base["msg_servers"]:
            raise ManifestError(f"the overlay adds ports to {server[:60]!r}, which is no message server")
        there = base["msg_servers"][server]
        there["ports"] = sorted({*there["ports"], *(str(port) for port in ports)})
    return codec.dump(codec.load(json.dumps(base).encode(), where="release with overlay"))


def _change(app: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key in MERGED:
        if key in change:
            merged = {**app.get(key, {}), **change[key]}
            app[key] = {name: value for name, value in merged.items() if value is not None}
    if "arguments" in change:
        app["arguments"] = change["arguments"]


def difference(release: Manifest, wanted: Manifest) -> dict[str, Any]:
    """The overlay that makes `wanted` of `release`: two builds of one system.

    Raises:
        ManifestError: they differ in more than apps and ports, which an overlay cannot say.
    """
    old, new = codec.to_json(release), codec.to_json(wanted)
    for key in sorted((set(old) | set(new)) - {"apps", "msg_servers", "release"}):
        if old.get(key) != new.get(key):
            raise ManifestError(f"they differ in {key}, which an overlay cannot say", hint="make a release")
    apps: dict[str, Any] = {name: None for name in old["apps"] if name not in new["apps"]}
    for name, app in new["apps"].items():
        if name not in old["apps"]:
            apps[name] = app
        elif (changed := _changed(old["apps"][name], app)) is not None:
            apps[name] = changed
    ports = {}
    for server, there in new["msg_servers"].items():
        if server not in old["msg_servers"]:
            raise ManifestError(f"message server {server!r} is new, which an overlay cannot say")
        if added := sorted(set(there["ports"]) - set(old["msg_servers"][server]["ports"])):
            ports[server] = added
    return ({"apps": apps} if apps else {}) | ({"ports": ports} if ports else {})


def _changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any] | None:
    """What an overlay says of one app: nothing, some settings, or the whole of it."""
    ignored = ("where",)
    differing = {key for key in set(old) | set(new) if key not in ignored and old.get(key) != new.get(key)}
    if not differing:
        return None
    if differing - set(APP_PARTS):
        return new
    change: dict[str, Any] = {}
    for key in MERGED:
        if key in differing:
            before, after = old.get(key, {}), new.get(key, {})
            gone = dict.fromkeys(sorted(set(before) - set(after)))
            change[key] = gone | {name: value for name, value in after.items() if before.get(name) != value}
    if "arguments" in differing:
        change["arguments"] = new.get("arguments", [])
    return change


def digest(overlay: bytes) -> str:
    return hashlib.sha256(overlay).hexdigest()
