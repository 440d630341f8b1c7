"""What all commands of the servers have in common."""

from __future__ import annotations

import importlib

import pytest

from kos.tool.main import COMMANDS

# What runs until it is stopped prints no result.
RUNNING = {"server__start", "server__gateway"}
NAMES = sorted(path.stem for path in COMMANDS.glob("server__*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_speaks_json(name: str) -> None:
    command = importlib.import_module(f"kos.tool.commands.{name}").command
    options = {text for parameter in command.params for text in parameter.opts}
    assert ("--json" in options) != (name in RUNNING)


def test_what_was_promised_is_there() -> None:
    promised = "start login upload_release upload_overlay active_overlay upgrade_device backup restore"
    promised += " devices__list devices__show devices__accept devices__reject devices__tag devices__revoke"
    promised += (
        " rollouts__create rollouts__list rollouts__show rollouts__pause rollouts__resume rollouts__abort"
    )
    promised += " rollouts__approve rollouts__rollback data__export data__log data__series"
    assert {f"server__{name}" for name in promised.split()} <= set(NAMES)
