"""Who can reach whom: by a grant of its own, or through servers that act for their clients.

An app that may call a server can make it act, so what the server reaches, its client may reach through it.
That is the most that a manifest allows; a careful server allows less. Keys are different: the key store
itself asks which app calls, so a key is reached by those apps that its configuration names, and by whoever
can make one of those act.
"""

from __future__ import annotations

from itertools import pairwise

from kos.abi import services
from kos.assurance.facts import Facts
from kos.assurance.settings import items, table

Path = tuple[str, ...]


def key_users(facts: Facts) -> dict[str, dict[str, tuple[str, ...]]]:
    """Key → app → operations, for apps that hold the key store's port too."""
    clients = {app.name for app, _ in facts.clients_of(services.PORT_KEY_STORE)}
    users: dict[str, dict[str, tuple[str, ...]]] = {}
    for store in facts.service("keystore"):
        users |= {key: {} for key in table(store.config.get("keys"))}
        for app, keys in table(store.config.get("access")).items():
            for key, operations in table(keys).items():
                users.setdefault(key, {})
                if app in clients and items(operations):
                    users[key][app] = tuple(sorted(map(str, items(operations))))
    return users


def path_between(facts: Facts, start: str, end: str) -> Path | None:
    """A shortest way from an app to an app, with the ports in between; None where there is none."""
    found = facts.uses.path(start, end)
    return _with_ports(facts, found) if found else None


def reachers_of_app(facts: Facts, target: str) -> dict[str, Path]:
    """Every app that can reach `target`, with a shortest way."""
    found = facts.uses.reversed().paths_from(target)
    return {app: _with_ports(facts, way[::-1]) for app, way in found.items() if app != target}


def reachers_of_port(facts: Facts, name: str) -> dict[str, Path]:
    """Every app that can cause a message to a port of that name: its clients, and who reaches those."""
    direct = {app.name: (app.name, name, _server(facts, name)) for app, _ in facts.clients_of(name)}
    return _through(facts, direct)


def reachers_of_key(facts: Facts, key: str) -> dict[str, Path]:
    """Every app that can have an operation done with a key."""
    direct = {
        app: (app, f"{services.PORT_KEY_STORE} ({', '.join(operations)})", f"key:{key}")
        for app, operations in key_users(facts).get(key, {}).items()
    }
    return _through(facts, direct)


def reachable_apps(facts: Facts, start: str) -> dict[str, Path]:
    """Every app that `start` can reach, with a shortest way."""
    found = facts.uses.paths_from(start)
    return {app: _with_ports(facts, way) for app, way in found.items() if app != start}


def _server(facts: Facts, port_name: str) -> str:
    servers = facts.servers_of(port_name)
    return servers[0][0].name if servers else "nobody"


def _with_ports(facts: Facts, way: list[str]) -> Path:
    path = [way[0]]
    for here, there in pairwise(way):
        path += [sorted(facts.uses.out[here][there])[0], there]
    return tuple(path)


def _through(facts: Facts, direct: dict[str, Path]) -> dict[str, Path]:
    """`direct` and everyone who can reach one of those, each with a shortest way."""
    turned = facts.uses.reversed()
    ways = dict(direct)
    for app in sorted(direct):
        for other, way in turned.paths_from(app).items():
            path = _with_ports(facts, way[::-1])[:-1] + direct[app]
            if other not in ways or (other not in direct and len(path) < len(ways[other])):
                ways[other] = path
    return ways
