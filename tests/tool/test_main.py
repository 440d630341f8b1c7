"""The command line as a whole: help, suggestions, exit codes, streams."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import click
import pytest

from kos.abi.errors import KosError
from kos.tool import main
from tests.tool.running import completed, kos_tool

NAMES = main.cli.list_commands(click.Context(main.cli))
HEAVY = {"cryptography", "rich", "watchfiles", "sqlalchemy", "fastapi", "kos.build", "kos.manifest"}


def test_help_lists_every_command_once():
    done = kos_tool("--help")
    assert done.returncode == 0 and done.stderr == ""
    listed = re.findall(r"^  ([a-z][a-z0-9_.]+)(?:  |$)", done.stdout, re.MULTILINE)
    assert sorted(listed) == NAMES


def test_no_arguments_is_help():
    assert kos_tool().stdout == kos_tool("--help").stdout


@pytest.mark.parametrize("name", NAMES)
def test_each_command(name):
    path = main.COMMANDS / f"{name.replace('.', '__')}.py"
    section, line = main.summary(path)
    assert section in main.SECTIONS and line, "a docstring and a SECTION"
    assert len(line) <= 80
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None and command.help
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{parameter.name} has no help"


@pytest.mark.parametrize("name", NAMES)
def test_loading_a_command_loads_little(name):
    """A command imports what it needs when it runs, so that completion and help stay fast."""
    tree = ast.parse((main.COMMANDS / f"{name.replace('.', '__')}.py").read_text())
    for node in tree.body:
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            assert not any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY), module


def test_starting_loads_nothing_heavy():
    code = "import sys, kos.tool.main; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, *(h for h in HEAVY if "." not in h), "jsonschema", "asyncio"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("typed", "near"), [("manifst", "manifest"), ("new.ap.c", "new.app.c"), ("generate", "keys.generate")]
)
def test_near_names_are_suggested(typed, near):
    done = kos_tool(typed)
    assert done.returncode == 1 and done.stdout == ""
    assert f"there is no command '{typed}'" in done.stderr
    assert near in done.stderr.split("hint:")[1]


def test_a_name_like_no_other():
    assert "--help lists every command" in kos_tool("xyzzy").stderr


def test_wrong_usage_says_where_help_is():
    done = kos_tool("manifest", "--wrong")
    assert done.returncode == 1
    assert "No such option" in done.stderr and "kos-tool manifest --help" in done.stderr


@pytest.mark.parametrize("place", ["first", "last"])
def test_yes_counts_wherever_it_stands(monkeypatch, place):
    monkeypatch.setenv("KOS_YES", "")
    command = ["completion", "bash"]
    assert main.run(["--yes", *command] if place == "first" else [*command, "--yes"]) == 0
    assert os.environ["KOS_YES"] == "1"


def test_after_two_dashes_yes_is_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.run(["new.system", "--", "--yes"]) == 1
    assert "'--yes' cannot be a name" in capsys.readouterr().err


def run_raising(monkeypatch, error: BaseException) -> int:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", fail)
    return main.run(["x"])


def test_exit_codes(monkeypatch, capsys):
    assert run_raising(monkeypatch, KosError("wrong", where="a.py:1", hint="do this")) == 1
    assert capsys.readouterr().err == "error: a.py:1: wrong\nhint: do this\n"
    assert run_raising(monkeypatch, PermissionError(13, "Permission denied", "/x")) == 1
    assert capsys.readouterr().err == "error: /x: Permission denied\nhint: ls -ld shows whose it is\n"
    assert run_raising(monkeypatch, OSError(28, "No space left on device")) == 1
    assert capsys.readouterr().err == (
        "error: No space left on device\nhint: make room; df -h shows where there is some\n"
    )
    assert run_raising(monkeypatch, KeyboardInterrupt()) == 130
    assert run_raising(monkeypatch, ValueError("surprise")) == 2
    told = capsys.readouterr().err
    assert "Traceback" in told and "surprise" in told and "bug in KOS" in told


def test_a_reader_that_goes_away_is_no_bug():
    done = subprocess.run(
        ["sh", "-c", '"$0" -m kos.tool --help | true', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    done = kos_tool("completion", shell)
    assert done.returncode == 0 and "_KOS_TOOL_COMPLETE" in done.stdout
    asked = kos_tool("", _KOS_TOOL_COMPLETE="bash_complete", COMP_WORDS="kos-tool man", COMP_CWORD="1")
    assert "manifest" in asked.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run -p rpi", ["rpi4", "rpi4,hyp=on"]),
        ("install -p am", ["am335x"]),
        ("build -p x86", []),
        ("deps.check ru", ["run"]),
    ],
)
def test_completion_of_values(typed, offered):
    assert completed(typed) == offered


def test_no_colour_without_a_terminal_or_with_no_color():
    assert "\x1b" not in kos_tool("xyzzy").stderr
    code = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'kos.tool', 'xyzzy']) >> 8)"
    for environment, expected in (({}, True), ({"NO_COLOR": "1"}, False)):
        env = {k: v for k, v in main.os.environ.items() if k != "NO_COLOR"} | environment
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 1
        assert (b"\x1b[" in done.stdout) is expected


def test_a_cache_that_cannot_be_written_is_named_with_what_moves_it():
    done = kos_tool("shell", "-p", "host", "--print", XDG_CACHE_HOME="/sys/of nobody")
    assert done.returncode == 1
    assert "hint: /sys/of nobody/kos must be writable; XDG_CACHE_HOME names another place" in done.stderr
