"""Who needs whom: apps wait for the servers of the ports that they use. Pure."""

from __future__ import annotations

from kos.manifest.model import Manifest


def dependencies(manifest: Manifest) -> tuple[dict[str, set[str]], list[list[str]]]:
    """For each app the apps that must be ready before it; and the cycles that were broken for that.

    A cycle is broken at its app that comes last by name: it does not wait for the app that closes the circle.
    """
    needs: dict[str, set[str]] = {name: set() for name in manifest.apps}
    for app, port, access in manifest.grants():
        server = manifest.server_of(port)
        if access.role == "client" and server is not None and server.name != app.name:
            needs[app.name].add(server.name)
    broken = []
    while cycle := _cycle(needs):
        broken.append(cycle)
        last = max(cycle)
        needs[last].discard(cycle[(cycle.index(last) + 1) % len(cycle)])
    return needs, broken


def _cycle(needs: dict[str, set[str]]) -> list[str] | None:
    """Some cycle, as the path of those who need the next; None where there is none."""
    finished: set[str] = set()
    for start in sorted(needs):
        path: list[str] = []
        pending = [iter([start])]
        while pending:
            step = next(pending[-1], None)
            if step is None:
                pending.pop()
                if path:
                    finished.add(path.pop())
            elif step in path:
                return path[path.index(step) :]
            elif step not in finished:
                path.append(step)
                pending.append(iter(sorted(needs[step])))
    return None
