"""Read settings of an app that nobody has checked: what has the wrong shape counts as not being there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kos.manifest.frozen import EMPTY


def table(value: object) -> Mapping[str, Any]:
    """`value` where it is a map, else an empty one."""
    return value if isinstance(value, Mapping) else EMPTY


def items(value: object) -> Sequence[Any]:
    """`value` where it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()
