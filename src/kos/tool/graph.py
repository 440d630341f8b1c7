"""A system's graph as text and in graphviz's language. Pure: it takes a manifest and gives text."""

from __future__ import annotations

from dataclasses import dataclass, field

from kos.manifest import Manifest, ServiceImage
from kos.manifest.model import App


@dataclass
class PortUse:
    """Who serves a port, and who may use it."""

    server: str | None = None
    clients: list[str] = field(default_factory=list)


def ports(manifest: Manifest) -> dict[str, dict[str, PortUse]]:
    """Message server → port → who serves and uses it, in order of names."""
    found = {
        name: {port: PortUse() for port in server.ports} for name, server in manifest.msg_servers.items()
    }
    for app, port, access in manifest.grants():
        use = found[port.msg_server].setdefault(port.name, PortUse())
        if access.role == "server":
            use.server = app.name
        else:
            use.clients.append(app.name)
    return found


def as_text(manifest: Manifest) -> str:
    """Each port with its server and its clients, then the apps that hold none."""
    lines = [f"{manifest.name} {manifest.release} on {manifest.platform}"]
    seen: set[str] = set()
    for server, listed in sorted(ports(manifest).items()):
        lines.append(server)
        width = max((len(name) for name in listed), default=0)
        for name, use in sorted(listed.items()):
            seen |= {*use.clients, *([use.server] if use.server else [])}
            clients = ", ".join(use.clients) or "nobody"
            lines.append(f"  {name:<{width}}  {use.server or 'nobody'} ← {clients}")
    alone = sorted(set(manifest.apps) - seen)
    if alone:
        lines += ["without ports", f"  {', '.join(alone)}"]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _node(app: App) -> str:
    core = isinstance(app.image, ServiceImage)
    look = (
        'style="rounded,filled" fillcolor="#e8e8e8"' if core else 'style="rounded,filled" fillcolor="#dcebfa"'
    )
    kinds = sorted({type(resource).__name__ for resource in app.resources})
    label = app.name + (f"\\n[{', '.join(kinds)}]" if kinds else "")
    return f'  {_quoted(app.name)} [label="{label}" {look}];'


def as_dot(manifest: Manifest) -> str:
    """For graphviz: an arrow from each client to the server of a port, with the port's name on it."""
    lines = [
        f"digraph {_quoted(manifest.name)} {{",
        '  rankdir=LR; node [shape=box fontname="sans-serif"]; edge [fontname="sans-serif" fontsize=10];',
    ]
    lines += [_node(manifest.apps[name]) for name in sorted(manifest.apps)]
    for _, listed in sorted(ports(manifest).items()):
        for name, use in sorted(listed.items()):
            if use.server:
                for client in use.clients:
                    lines.append(f"  {_quoted(client)} -> {_quoted(use.server)} [label={_quoted(name)}];")
    return "\n".join([*lines, "}"])
