"""Paths as an SVG picture: each name a box, in the column of its distance to the end; each port an arrow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

_BOX_HEIGHT, _ROW, _MARGIN = 30, 54, 16
_LABEL_AT = 0.42  # of the way from an arrow's start
_CHARACTER = 7.4  # width at 12 px, in a monospaced face
_STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#1a1a1a} .box{fill:#eef2f7;stroke:#4a6fa5} "
    ".arrow{stroke:#555;fill:none;marker-end:url(#tip)} .gone{stroke-dasharray:4 4} "
    ".port{font-size:10px;fill:#444;stroke:#fff;stroke-width:4px;paint-order:stroke}"
)


def draw(
    paths: Sequence[tuple[str, ...]], title: str, lost: Collection[tuple[str, ...]] = frozenset()
) -> str:
    """An SVG of the paths together; each is names and ports in turn. Those in `lost` are dashed."""
    columns: dict[str, int] = {}
    edges: dict[tuple[str, str], set[str]] = {}
    for path in paths:
        names, ports = path[::2], path[1::2]
        for distance, name in enumerate(reversed(names)):
            columns[name] = max(columns.get(name, 0), distance)
        for source, port, target in zip(names, ports, names[1:], strict=False):
            edges.setdefault((source, target), set()).add(port)
    last = max(columns.values(), default=0)
    rows: dict[int, list[str]] = {}
    for name in sorted(columns):
        rows.setdefault(last - columns[name], []).append(name)
    box = max((len(name) for name in columns), default=0) * _CHARACTER + 20
    gap = max((len(port) for ports in edges.values() for port in ports), default=0) * _CHARACTER + 30
    place = {
        name: (_MARGIN + column * (box + gap), _MARGIN + 24 + row * _ROW)
        for column, names in rows.items()
        for row, name in enumerate(names)
    }
    width = max(_MARGIN * 2 + (last + 1) * box + last * gap, 2 * _MARGIN + len(title) * _CHARACTER)
    height = _MARGIN * 2 + 24 + max((len(names) for names in rows.values()), default=1) * _ROW
    there = {edge for path in paths if path not in lost for edge in zip(path[::2], path[2::2], strict=False)}
    drawn = [
        _edge(place, box, *edge, sorted(ports), gone=edge not in there)
        for edge, ports in sorted(edges.items())
    ]
    # Every label after every line, so that its white rim cuts the lines below it.
    parts = [line for line, _ in drawn] + [label for _, label in drawn]
    parts += [_box(name, box, *place[name]) for name in sorted(place)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>\n'
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>\n'
        f'<text x="{_MARGIN}" y="{_MARGIN + 6}">{escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _box(name: str, width: float, x: float, y: float) -> str:
    return (
        f'<rect class="box" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{_BOX_HEIGHT}" rx="4"/>'
        f'<text x="{x + 10:.0f}" y="{y + 19:.0f}">{escape(name)}</text>'
    )


def _edge(
    place: dict[str, tuple[float, float]],
    box: float,
    source: str,
    target: str,
    ports: list[str],
    *,
    gone: bool,
) -> tuple[str, str]:
    """The line and its label."""
    (x1, y1), (x2, y2) = place[source], place[target]
    start, end = (x1 + box, x2) if x2 > x1 else (x1, x2 + box)
    y1, y2 = y1 + _BOX_HEIGHT / 2, y2 + _BOX_HEIGHT / 2
    label = escape(", ".join(ports))
    # Nearer to the source: arrows often meet at their target, and their labels would lie on one another.
    x, y = start + (end - start) * _LABEL_AT, y1 + (y2 - y1) * _LABEL_AT
    return (
        f'<path class="arrow{" gone" if gone else ""}" d="M{start:.0f} {y1:.0f}L{end:.0f} {y2:.0f}"/>',
        f'<text class="port" x="{x:.0f}" y="{y - 5:.0f}" text-anchor="middle">{label}</text>',
    )
