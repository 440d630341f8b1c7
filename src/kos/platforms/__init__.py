"""Boards: one file each, facts only, with the source of each fact. Found by name; nothing here does I/O."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from kos.abi.errors import KosError
from kos.manifest.platform import PlatformSpec
from kos.platforms.board import Board


def board(spec: PlatformSpec) -> Board:
    """The board that a platform spec means.

    Raises:
        KosError: the platform has no image of its own.
    """
    try:
        module = import_module(f"kos.platforms.{spec.name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        raise KosError(
            f"platform {spec.name} has no device image",
            hint="name a board: qemu-arm-virt, rpi4, am335x, imx8mm-evk, …",
        ) from error
    facts = module.BOARDS[spec.arch]
    return replace(facts, hyp=True) if spec.hyp else facts
