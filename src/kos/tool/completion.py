"""What the shell offers for a value: platforms, running systems, their apps. What fails offers nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import click

from kos.abi.errors import KosError

ANSWER_SECONDS = 2.0  # that a running system has, while somebody waits at a prompt

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _offer(find: Callable[[click.Context], Iterable[str]]) -> Complete:
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        with suppress(KosError, OSError):
            return [word for word in find(context) if word.startswith(incomplete)]
        return []

    return complete


def _platforms(_context: click.Context) -> Iterable[str]:
    from kos.manifest.platform import PLATFORMS

    for name, platform in PLATFORMS.items():
        if not platform.disabled:
            yield name
            yield from (f"{name},arch={arch}" for arch in platform.architectures[1:])
            yield from [f"{name},hyp=on"] if platform.hyp_on else []


def _systems(_context: click.Context) -> Iterable[str]:
    from kos.tool import runs

    return runs.names()


def _apps(context: click.Context) -> Iterable[str]:
    """Of the system that the command line names, else of the only one; devices of a server are not asked."""
    from kos.device.control.client import ControlClient
    from kos.tool import runs

    if context.params.get("device"):
        return []
    with ControlClient(runs.find(context.params.get("system")), ANSWER_SECONDS) as client:
        return sorted(client.status()["apps"])


def _groups(_context: click.Context) -> Iterable[str]:
    from kos.tool import packages

    return sorted({package.group for package in packages.of_groups(())})


platforms, systems, apps, groups = map(_offer, (_platforms, _systems, _apps, _groups))
