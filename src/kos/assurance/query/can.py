"""What an app can do, in words: its grants, its parts of the machine, its limits, and whom it reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from kos.assurance.facts import Facts, opened_by, service_of
from kos.assurance.query import reach
from kos.assurance.query.answer import Line
from kos.assurance.settings import items, table
from kos.manifest import App

_LIMITS = ("memory", "processes", "descriptors")


def powers(facts: Facts, name: str) -> Iterator[Line]:
    """Each power of an app, the strongest kinds first."""
    app = facts.apps[name]
    for text in sorted(resources(app)):
        yield Line(f"hold {text}", name, group="of the machine")
    for text in sorted(key_powers(facts, name)):
        yield Line(text, name, group="with keys")
    for text in network_powers(facts, name):
        yield Line(text, name, group="on the network")
    for text in opened_to(facts, app):
        yield Line(text, name, group="by people")
    yield from _ports(facts, app)
    for limit in _LIMITS:
        value = getattr(app, limit)
        yield Line(
            f"use {value if value is not None else 'any number of'} {limit}", name, group="within limits"
        )
    for other, path in sorted(reach.reachable_apps(facts, name).items()):
        if len(path) > 3:
            yield Line(f"reach {other} through {', '.join(path[2:-2:2])}", other, path, "through others")


def resources(app: App) -> list[str]:
    """Its parts of the machine, such as `i2c bus i2c2`."""
    return [_resource(resource) for resource in app.resources]


def key_powers(facts: Facts, name: str) -> list[str]:
    """What it can have done with which key."""
    users = reach.key_users(facts)
    return [f"{' and '.join(ops)} with key {key}" for key, apps in users.items() if (ops := apps.get(name))]


def opened_to(facts: Facts, app: App) -> list[str]:
    """How people may look into it, where the manifest opens it to them."""
    option = opened_by(app)
    if option is None or not getattr(facts.options, option):
        return []
    how = {"remote_shell": "a shell", "debugger": "a debugger"}[option]
    return [f"be opened by {'its console' if service_of(app) == 'vmm' else how}"]


def network_powers(facts: Facts, name: str) -> list[str]:
    """Where it can send to."""
    if name not in {app.name for app, _ in facts.networked}:
        return []
    for tunnel in facts.service("tunnel"):
        allow = table(tunnel.config.get("allow"))
        if name in allow:
            return [f"send to {', '.join(map(str, items(allow[name]))) or 'nobody'}"]
    return ["send to every address behind the tunnel"]


def _ports(facts: Facts, app: App) -> Iterator[Line]:
    for port, access in sorted(app.grants(), key=lambda grant: (grant[1].role, grant[0].name)):
        if access.role == "client":
            server = next((server.name for server, _ in facts.servers.get(port, ())), "nobody")
            verb = "call" if access.blocking else "send to"
            text = f"{verb} {server} over {port.name}"
            yield Line(text, server, (app.name, port.name, server), "by its own grants")
        else:
            clients = sorted(client.name for client, _ in facts.clients.get(port, ()))
            who = ", ".join(clients) or "nobody"
            yield Line(f"answer {who} on {port.name}", port.name, group="by its own grants")


def _resource(resource: object) -> str:
    word = type(resource).__name__.removesuffix("Bus")
    kind = "i2c bus" if word == "I2C" else word.lower()
    values = [getattr(resource, field.name) for field in fields(resource)]  # type: ignore[arg-type]
    return " ".join([kind, *(str(list(v) if isinstance(v, tuple) else v) for v in values)])
