"""The entry point: finds the command, runs it, turns errors into words and exit codes.

Exit 0: done. 1: the user can do something about it. 2: a bug of ours, with a traceback. 130: Ctrl-C, SIGTERM.
Start-up must stay short, so a command is loaded only when it is used and `--help` reads without loading.
"""

from __future__ import annotations

import ast
import difflib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.abi.version import VERSION
from kos.tool import output

COMMANDS = Path(__file__).parent / "commands"
# Of the machine, even where no file is named with them; and what to do about each.
_MACHINE_ERRORS = {
    errno.ENOSPC: "make room; df -h shows where there is some",
    errno.EDQUOT: "make room; quota shows how much may be used",
    errno.EIO: "the disk may be failing; dmesg says more",
    errno.EROFS: "choose a place that can be written",
    errno.ENOMEM: "end what needs much memory; free -h shows how much there is",
    errno.EMFILE: "ulimit -n raises how many files may be open",
}
_FILE_ERRORS = {
    errno.EACCES: "ls -ld shows whose it is",
    errno.EPERM: "ls -ld shows whose it is",
    errno.ENAMETOOLONG: "choose a shorter name",
}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
SECTIONS = ["Start", "Build", "Run", "Debugging", "Devices", "Servers", "Network", "Set-up"]


def summary(path: Path) -> tuple[str, str]:
    """Section and first line of a command's file, read without running it."""
    module = ast.parse(path.read_bytes())
    section = SECTIONS[-1]
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            section = node.value.value if "SECTION" in names else section
    return section, (ast.get_docstring(module) or "").split("\n")[0].rstrip(".")


class Commands(click.Group):
    """Every file in `commands/`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(
            path.stem.replace("__", ".") for path in COMMANDS.glob("*.py") if path.stem != "__init__"
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"kos.tool.commands.{cmd_name.replace('.', '__')}")
        command: click.Command = module.command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in (known := self.list_commands(ctx)):
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            near += [other for other in known if name in other.split(".") and other not in near]
            hint = f"did you mean {' or '.join(near)}?" if near else "kos-tool --help lists every command"
            raise KosError(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for name in self.list_commands(ctx):
            section, line = summary(COMMANDS / f"{name.replace('.', '__')}.py")
            rows[section].append((name, line))
        for section, listed in rows.items():
            if listed:
                with formatter.section(section):
                    formatter.write_dl(listed)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name=None, version=VERSION, prog_name="kos-tool")
@click.option("--yes", is_flag=True, help="Agree to whatever would be asked, such as installing packages.")
def cli(yes: bool) -> None:
    """Build, run and manage systems of secure connected devices.

    What a command makes or finds goes to standard output, everything else to standard error. NO_COLOR turns
    colours off. `kos-tool COMMAND --help` says more about a command.
    """
    if yes:
        os.environ["KOS_YES"] = "1"


def _yes_first(arguments: Sequence[str]) -> list[str]:
    """Take `--yes` wherever it stands, as everybody types it last; after `--` it is a name."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = list(arguments[:end])
    rest = [argument for argument in given if argument != "--yes"]
    return (["--yes"] if len(rest) < len(given) else []) + rest + list(arguments[end:])


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    named = next((word for word in arguments if not word.startswith("-")), None)
    help_of = f"kos-tool {named}" if named in cli.list_commands(None) else "kos-tool"
    try:
        result = cli.main(_yes_first(arguments) or ["--help"], prog_name="kos-tool", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except KosError as error:
        output.error(error, help_of)
        return 1
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "kos-tool"
        output.error(KosError(error.format_message().rstrip("."), hint=f"{command} --help says how"))
        return 1
    except (KeyboardInterrupt, click.Abort):
        output.say("")
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None and error.errno not in _MACHINE_ERRORS:
            return output.bug()
        place = error.filename and str(error.filename)
        hint = (_MACHINE_ERRORS | _FILE_ERRORS).get(error.errno or 0)
        from kos.build.files import cache_directory

        cache = cache_directory()
        if place and error.errno in _NOT_WRITABLE and Path(place).is_relative_to(cache):
            hint = f"{cache} must be writable; XDG_CACHE_HOME names another place"
        output.error(KosError(str(error.strerror), where=place, hint=hint), help_of)
        return 1
    except Exception:
        return output.bug()


def main() -> None:
    """For `python -m kos.tool` and the installed script."""
    # Whoever ends us politely, such as a service manager, gets the same clean end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))
