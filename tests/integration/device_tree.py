"""Reads a flattened device tree (Devicetree Specification v0.4, chapter 5), and what a device in it needs."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

_BEGIN, _END, _PROPERTY, _LAST = 1, 2, 3, 9
# The property with references to other nodes → the property of those that says how many cells follow each.
_REFERENCES = (
    (r".*-supply|pinctrl-\d+|interrupt-parent|mmc-pwrseq|phy-handle", None),
    (r"clocks|assigned-clocks", "#clock-cells"),
    (r"power-domains", "#power-domain-cells"),
    (r"resets", "#reset-cells"),
    (r"dmas", "#dma-cells"),
    (r".*-gpios|gpios?", "#gpio-cells"),
)


@dataclass
class Node:
    """One node; `path` as in the specification."""

    path: str
    parent: Node | None
    properties: dict[str, bytes] = field(default_factory=dict)

    def texts(self, name: str) -> list[str]:
        return [text.decode() for text in self.properties.get(name, b"").split(b"\0") if text]

    def cells(self, name: str) -> tuple[int, ...]:
        value = self.properties.get(name, b"")
        return struct.unpack(f">{len(value) // 4}I", value[: len(value) // 4 * 4])

    @property
    def enabled(self) -> bool:
        return self.texts("status") in ([], ["okay"])


def read(data: bytes) -> dict[str, Node]:
    """Every node, by its path."""
    magic, _total, at, strings = struct.unpack_from(">4I", data)
    assert magic == 0xD00DFEED
    nodes: dict[str, Node] = {}
    node: Node | None = None
    while True:
        (token,) = struct.unpack_from(">I", data, at)
        at += 4
        if token == _BEGIN:
            end = data.index(b"\0", at)
            path = f"{node.path.rstrip('/')}/{data[at:end].decode()}" if node else "/"
            node = nodes[path] = Node(path, node)
            at = (end + 4) & ~3
        elif token == _PROPERTY:
            size, name = struct.unpack_from(">2I", data, at)
            key = data[strings + name : data.index(b"\0", strings + name)].decode()
            assert node is not None
            node.properties[key] = data[at + 8 : at + 8 + size]
            at = (at + 8 + size + 3) & ~3
        elif token == _END:
            assert node is not None
            node = node.parent
        elif token == _LAST:
            return nodes


def needed_by(nodes: dict[str, Node], start: Node) -> dict[str, Node]:
    """The node, those above it, and all that any of them refers to."""
    named = {node.cells("phandle")[0]: node for node in nodes.values() if "phandle" in node.properties}
    seen: dict[str, Node] = {}
    pending = [start]
    while pending:
        node = pending.pop()
        if node.path in seen:
            continue
        seen[node.path] = node
        if node.parent is not None:
            pending.append(node.parent)
        for name in node.properties:
            for pattern, counted in _REFERENCES:
                if re.fullmatch(pattern, name):
                    pending += _referred(node.cells(name), named, counted)
    return seen


def _referred(cells: tuple[int, ...], named: dict[int, Node], counted: str | None) -> list[Node]:
    found = []
    at = 0
    while at < len(cells):
        node = named.get(cells[at])
        if node is not None:
            found.append(node)
            at += node.cells(counted)[0] if counted and counted in node.properties else 0
        at += 1
    return found
