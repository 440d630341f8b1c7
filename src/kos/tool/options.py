"""Options and arguments that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kos.tool import completion


class Number(click.FloatRange):
    """A range of numbers in the digits 0 to 9; what is no number is in none."""

    what = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found) or not str(value).isascii():
            self.fail(f"{value!r} is no {self.what}.", param, ctx)
        return found


class Seconds(Number):
    """A range of seconds."""

    what = "number of seconds"


def wait(name: str, default: float, help_text: str) -> Callable[[Any], Any]:
    """An option of a command that waits for what somebody else does, a day at most."""
    return click.option(
        name, type=Seconds(0, 86400), default=default, show_default=True, help=f"Seconds to wait {help_text}"
    )


PROJECT = click.argument("project", type=click.Path(path_type=Path), default=".", metavar="[PROJECT]")
PLATFORM = click.option(
    "-p",
    "--platform",
    default="host",
    show_default=True,
    shell_complete=completion.platforms,
    help="Platform spec, such as imx8mm-evk,hyp=on.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
LOCKED = click.option(
    "--locked", is_flag=True, help="Fail where a kos.lock would have to change, instead of changing it."
)
SYSTEM = click.argument("system", required=False, metavar="[SYSTEM]", shell_complete=completion.systems)
NAME = click.option("--name", help="Name of the run.  [default: the system's name]")


def keys(default: str) -> Callable[[Any], Any]:
    """The option that gives a device its keys."""
    return click.option(
        "--keys",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help=f"Directory with the device's keys, as of keys.generate.  [default: {default}]",
    )


KEYS = keys("new ones for this run")
IN_PROJECT = click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    help="The system project.  [default: here]",
)
SERIAL = click.option(
    "--serial",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Serial console of a board, such as /dev/ttyUSB0, to attach.",
)
FASTBOOT = click.option(
    "--fastboot", metavar="DEVICE", help="Board to send to, such as tcp:192.0.2.7.  [default: the one on USB]"
)
SYSTEM_OPTION = click.option(
    "--system",
    metavar="NAME",
    shell_complete=completion.systems,
    help="The system that runs on this machine.  [default: the only one]",
)
DEVICE_OPTION = click.option(
    "--device", metavar="DEVICE", help="A device of the server instead, by its name or id."
)
