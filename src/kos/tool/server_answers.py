"""What the answers of a Studio or Fleet Server look like: of each, the members that commands read.

The server describes all of its answers (`/openapi.json`); a test holds that these are among them. The models
that the server itself uses would take longer to import than a command may take to start.
"""

from __future__ import annotations

import re
from typing import Any

NUMBER = (int, float)
MAYBE_NUMBER = (int, type(None))
MAYBE_TEXT = (str, type(None))
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
_NAMES |= {list: "a list", dict: "an object"}


class Each:
    """An object with any names, each of whose members has one form."""

    def __init__(self, form: Any) -> None:
        self.form = form


# A form is a type, several types, [form] for a list, a dict for an object (a name with ? may be missing)
# or `Each`.
DEVICE = {
    "id": str,
    "name": str,
    "status": str,
    "online": bool,
    "system": str,
    "platform": str,
    "tags": [str],
    "overlay_id": MAYBE_NUMBER,
    "desired_version": int,
    "update_version": int,
    "update_state": str,
    "update_reason": str,
}
APP = {"state": str, "restarts": int, "memory": int, "violations?": int, "network?": Each(int)}
DEVICE_DETAIL = {**DEVICE, "apps": Each(APP), "settings": dict}
GROUP = {"id": int, "name": str, "query": str, "overlay_id": MAYBE_NUMBER}
RELEASE = {"id": int, "manifest": str, "system": str, "version": str, "platform": str, "signers": [str]}
RELEASE_DETAIL = {**RELEASE, "assurance": {"findings?": list}}
OVERLAY = {"id": int, "name": str, "sha256": str, "document": {"apps?": dict}}
ROLLOUT = {"id": int, "name": str, "state": str, "phase": int, "target": str, "reason": str}
ROLLOUT_DETAIL = {**ROLLOUT, "plan": {"phases": list}, "counts": Each(int)}
ROLLOUT_DEVICE = {"name": str, "phase": int, "state": str, "reason": str}
RETENTION = {"id": int, "pattern": str, "days": NUMBER}
CHANNEL = {"id": int, "name": str, "kind": str, "severity": str, "shown": str, "enabled": bool, "error": str}
DELIVERY = {"id": int, "key": str, "severity": str, "title": str, "state": str, "attempts": int, "error": str}
ORGANISATION = {"id": int, "name": str}
PROVISIONING = {"peer_endpoint": str, "peer_public_key": str, "network": str}
WHO = {"name": str, "role": str, "server": {"product": str}}
ANNOUNCED = {"announced": int, "tunnels": [{"device": str, "name": str, "network": str}]}
LINE = {"seconds": NUMBER, "app": str, "text": str}

# Method, path (each * one part of it), form.
ANSWERS: list[tuple[str, str, Any]] = [
    ("GET", "/whoami", WHO),
    ("GET", "/devices", {"total": int, "devices": [DEVICE]}),
    ("GET", "/devices/*", DEVICE_DETAIL),
    ("PATCH", "/devices/*", DEVICE_DETAIL),
    *(("POST", f"/devices/*/{action}", DEVICE_DETAIL) for action in ("accept", "reject", "revoke", "rotate")),
    *(("PUT", f"/devices/*/{what}", DEVICE_DETAIL) for what in ("release", "overlay", "settings")),
    ("PUT", "/devices/*/tunnel", PROVISIONING),
    ("GET", "/devices/*/series", [str]),
    ("GET", "/devices/*/log", [LINE]),
    ("POST", "/claims", DEVICE_DETAIL),
    ("POST", "/keys", ANNOUNCED),
    ("GET", "/groups", [GROUP]),
    ("POST", "/groups", GROUP),
    ("PUT", "/groups/*/overlay", GROUP),
    ("GET", "/releases", [RELEASE]),
    ("POST", "/releases", RELEASE_DETAIL),
    ("GET", "/overlays", [OVERLAY]),
    ("POST", "/overlays", OVERLAY),
    ("POST", "/overlays/archive", OVERLAY),
    ("GET", "/rollouts", [ROLLOUT]),
    ("POST", "/rollouts", ROLLOUT_DETAIL),
    ("GET", "/rollouts/*", ROLLOUT_DETAIL),
    ("GET", "/rollouts/*/devices", [ROLLOUT_DEVICE]),
    *(
        ("POST", f"/rollouts/*/{action}", ROLLOUT_DETAIL)
        for action in ("abort", "approve", "pause", "resume", "retire", "rollback")
    ),
    ("GET", "/retention", {"days_max": NUMBER, "rules": [RETENTION]}),
    ("PUT", "/retention", RETENTION),
    ("GET", "/notifications/channels", [CHANNEL]),
    ("POST", "/notifications/channels", {**CHANNEL, "secret": MAYBE_TEXT}),
    ("POST", "/notifications/channels/*/test", DELIVERY),
    ("GET", "/notifications/deliveries", [DELIVERY]),
    ("POST", "/organisations", ORGANISATION),
]


def form_of(method: str, path: str) -> Any:
    """The form of the answer to a request. Raises KeyError for one that no command makes."""
    for wanted, pattern, form in ANSWERS:
        if method == wanted and re.fullmatch(pattern.replace("*", "[^/]+"), path):
            return form
    raise KeyError(f"{method} {path}")


def fault(form: Any, found: Any, where: str = "it") -> str | None:
    """What is wrong with an answer: `devices[0].name: expected text, found a list`; None when nothing is."""
    if isinstance(form, list):
        kind: Any = list
    elif isinstance(form, dict | Each):
        kind = dict
    else:
        kind = form
    if not _is(kind, found):
        return f"{where}: expected {_said(kind)}, found {_NAMES[type(found)]}"
    if isinstance(form, list):
        members = [(form[0], one, f"{where}[{number}]") for number, one in enumerate(found)]
    elif isinstance(form, Each):
        members = [(form.form, one, f"{where}[{name!r}]") for name, one in found.items()]
    elif isinstance(form, dict):
        members = []
        for name, one in form.items():
            plain = name.removesuffix("?")
            if plain in found:
                members.append((one, found[plain], plain if where == "it" else f"{where}.{plain}"))
            elif plain == name:
                return f"one without {name!r}" if where == "it" else f"{where} without {name!r}"
    else:
        members = []
    return next((said for member in members if (said := fault(*member))), None)


def _is(kind: Any, found: Any) -> bool:
    """As isinstance, but true is no number."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return isinstance(found, kinds) and (not isinstance(found, bool) or bool in kinds)


def _said(kind: Any) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return "a number" if kinds == NUMBER else " or ".join(_NAMES[one] for one in kinds)
