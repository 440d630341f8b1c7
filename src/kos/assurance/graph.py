"""A directed graph of names with labelled edges: reachability with its proof, and cycles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Graph:
    """Edges from a name to a name, each with one label or more."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.out: dict[str, dict[str, list[str]]] = {node: {} for node in nodes}

    def add(self, source: str, target: str, label: str) -> None:
        self.out.setdefault(target, {})
        self.out.setdefault(source, {}).setdefault(target, []).append(label)

    def reversed(self) -> Graph:
        """The same graph with every edge turned round."""
        turned = Graph(self.out)
        for source, targets in self.out.items():
            for target, labels in targets.items():
                turned.out[target][source] = labels
        return turned

    def paths_from(self, start: str) -> dict[str, list[str]]:
        """Each name that can be reached, with a shortest path to it. `start` itself only by a cycle."""
        back: dict[str, str] = {}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            for target in sorted(self.out.get(here, ())):
                if target not in back:
                    back[target] = here
                    if target != start:
                        queue.append(target)
        return {target: _walk(back, start, target) for target in back}

    def path(self, start: str, end: str) -> list[str] | None:
        """A shortest path, or None."""
        return self.paths_from(start).get(end)

    def cycles(self) -> list[list[str]]:
        """Each knot of names that reach one another, as one cycle through it: [a, b, a]."""
        found = []
        for knot in self._knots():
            first = min(knot)
            inside = Graph(())
            for source in knot:
                for target, labels in self.out[source].items():
                    if target in knot:
                        inside.out.setdefault(source, {})[target] = labels
            around = inside.path(first, first)
            if around:
                found.append(around)
        return sorted(found)

    def _knots(self) -> list[set[str]]:
        """Strongly connected components (Tarjan 1972), without recursion."""
        index: dict[str, int] = {}
        low: dict[str, int] = {}
        stack: list[str] = []
        on_stack: set[str] = set()
        knots: list[set[str]] = []
        for root in self.out:
            if root in index:
                continue
            index[root] = low[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            work = [(root, iter(self.out[root]))]
            while work:
                node, targets = work[-1]
                for target in targets:
                    if target not in index:
                        index[target] = low[target] = len(index)
                        stack.append(target)
                        on_stack.add(target)
                        work.append((target, iter(self.out[target])))
                        break
                    if target in on_stack:
                        low[node] = min(low[node], index[target])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        knot = set()
                        while node not in knot:
                            knot.add(stack.pop())
                        on_stack -= knot
                        knots.append(knot)
        return knots


def _walk(back: dict[str, str], start: str, end: str) -> list[str]:
    path = [end]
    while True:
        path.append(back[path[-1]])
        if path[-1] == start:
            return path[::-1]
