"""What authority a new release gains and loses, in words that a reviewer can sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from kos.assurance.facts import Facts
from kos.assurance.query import can, reach
from kos.assurance.query.answer import LOST, Answer, Line
from kos.manifest import App, Manifest, Options

GAINED, CHANGED = "authority gained", "changed without new authority"
_LIMITS = ("memory", "processes", "descriptors", "priority", "max_priority")


def diff(old: Manifest, new: Manifest) -> Answer:
    """The answer to "what does NEW allow that OLD did not?", and the other way round."""
    before, after = Facts(old), Facts(new)
    lines = [*_options(old.options, new.options)]
    for name in sorted({*before.apps, *after.apps}):
        lines += _app(before, after, name)
    lines += _reach(before, after)
    order = {GAINED: 0, LOST: 1, CHANGED: 2}
    lines.sort(key=lambda line: (order[line.group], line.subject, line.text))
    question = f"from {old.name} {old.release} to {new.name} {new.release}"
    return Answer(question, tuple(lines))


def _app(before: Facts, after: Facts, name: str) -> Iterator[Line]:
    old, new = before.apps.get(name), after.apps.get(name)
    if old is None:
        yield Line(f"app {name} is new", name, group=GAINED)
    if new is None:
        yield Line(f"app {name} is gone", name, group=LOST)
    held_before = _authority(before, old) if old else {}
    held_after = _authority(after, new) if new else {}
    for text, path in sorted(held_after.items()):
        if text not in held_before:
            yield Line(f"{name} may {text}", name, path, GAINED)
    for text, path in sorted(held_before.items()):
        if text not in held_after:
            yield Line(f"{name} may no longer {text}", name, path, LOST)
    if old and new:
        yield from _same_app(old, new)


def _authority(facts: Facts, app: App) -> dict[str, tuple[str, ...]]:
    """What an app may do, as words, each with its path where it has one."""
    held: dict[str, tuple[str, ...]] = {}
    for port, access in app.grants():
        if access.role == "client":
            server = next((server.name for server, _ in facts.servers.get(port, ())), "nobody")
            verb = "call" if access.blocking else "send to"
            held[f"{verb} {server} over {port.name} on {port.msg_server}"] = (app.name, port.name, server)
        else:
            held[f"serve {port.name} on {port.msg_server}"] = ()
    for text in [*can.key_powers(facts, app.name), *can.network_powers(facts, app.name)]:
        held[text] = ()
    for text in can.opened_to(facts, app):
        held[text] = ()
    for text in can.resources(app):
        held[f"hold {text}"] = ()
    return held


def _same_app(old: App, new: App) -> Iterator[Line]:
    name = new.name
    for limit in _LIMITS:
        was, now = getattr(old, limit), getattr(new, limit)
        if was != now:
            more = now is None or (was is not None and now > was)
            text = f"{name} has {limit} {_shown(now)} instead of {_shown(was)}"
            yield Line(text, name, group=GAINED if more else LOST)
    if old.image != new.image:
        yield Line(f"{name} runs other code", name, group=CHANGED)
    for part in ("config", "arguments", "environ", "restart", "critical"):
        if getattr(old, part) != getattr(new, part):
            yield Line(
                f"{name} has another {part}{_keys(getattr(old, part), getattr(new, part))}",
                name,
                group=CHANGED,
            )


def _keys(old: object, new: object) -> str:
    """Which keys of a map differ, as an addition to a sentence."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return ""
    differ = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return f": {', '.join(differ)}"


def _shown(value: int | None) -> str:
    return "without limit" if value is None else str(value)


# Options that give somebody power when they are on, or take a defence away when they are off.
_POWER = ("disable_signing", "tracing", "unsafe_trace_payloads", "remote_shell", "debugger")
_DEFENCE = (
    "health_check",
    "server_check",
    "downgrade_protection",
    "watchdog",
    "boot_attempts",
    "persistent_boot",
)


def _options(old: Options, new: Options) -> Iterator[Line]:
    for field in fields(Options):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was == now:
            continue
        group = CHANGED
        if field.name in _POWER or field.name == "kernel_command_line":
            group = GAINED if now else LOST
        elif field.name in _DEFENCE:
            group = GAINED if not now else (LOST if not was else CHANGED)
        detail = _keys(was, now) if isinstance(now, Mapping) else f" is {now} instead of {was}"
        yield Line(f"option {field.name}{detail}", field.name, group=group)


def _reach(before: Facts, after: Facts) -> Iterator[Line]:
    """Apps that became reachable, or no longer are, through others. Own grants are told by `_app`."""
    for name in sorted({*before.apps, *after.apps}):
        was = reach.reachable_apps(before, name) if name in before.apps else {}
        now = reach.reachable_apps(after, name) if name in after.apps else {}
        for target in sorted(now.keys() - was.keys()):
            if len(now[target]) > 3:
                through = ", ".join(now[target][2:-2:2])
                yield Line(f"{name} can reach {target} through {through}", name, now[target], GAINED)
        for target in sorted(was.keys() - now.keys()):
            if len(was[target]) > 3:
                yield Line(f"{name} can no longer reach {target}", name, was[target], LOST)
