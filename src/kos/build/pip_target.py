"""`pip`, with the environment markers of another machine than the one that runs it.

    python -m kos.build.pip_target '{"python_version": "3.13", …}' install --dry-run …

pip's `--platform` and `--python-version` choose wheels, but it still asks the running interpreter whether a
dependency such as `tomli; python_version < "3.11"` applies. Here it asks the target.
"""

from __future__ import annotations

import json
import sys

from pip._internal.cli.main import main
from pip._vendor.packaging import markers


def run(environment: dict[str, str], arguments: list[str]) -> int:
    """pip's exit status."""
    markers.default_environment = lambda: dict(environment)  # type: ignore[assignment,return-value]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1]), sys.argv[2:]))
