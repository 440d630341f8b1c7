"""Print the manifest's JSON Schema: `python -m kos.manifest.schema > docs/schema/manifest-1.schema.json`."""

from __future__ import annotations

import json

from kos.manifest.codec import schema


def render() -> str:
    """The published file's text."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(render(), end="")
