"""How a system is run on each platform: one module a platform, its name with each "-" written as "_".

Each defines `run(request) -> int`: runs until the system ends or Ctrl-C, leaves nothing behind, returns the
exit code.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Protocol, cast

from kos.abi.errors import KosError
from kos.manifest import PlatformSpec
from kos.tool.request import RunRequest


class Runner(Protocol):
    """What a platform's module offers."""

    def run(self, request: RunRequest) -> int: ...


def runner(platform: str) -> Runner:
    """The runner of a platform spec."""
    spec = PlatformSpec.parse(platform)
    module = f"kos.tool.runners.{spec.name.replace('-', '_')}"
    if find_spec(module) is None:
        raise KosError(
            f"this release cannot run a system on {spec.name}",
            hint="kos-tool run -p host runs it on this machine",
        )
    return cast(Runner, importlib.import_module(module))
