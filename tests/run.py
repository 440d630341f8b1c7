"""Run the tests by group: `./test`, `./test --list`, `./test --only GROUP`.

Hands over to pytest, several files side by side, so that the closing line is pytest's own.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def build_programs() -> None:
    """Build the C programs of the tests: with our own compiler it takes longer than a test may."""
    from kos.abi.errors import KosError
    from kos.build import native

    print("kos: building the C programs of the tests, where they are not up to date", file=sys.stderr)
    try:
        native.tests()
        native.sdk("host")
    except KosError as error:
        sys.exit(str(error))


def main() -> None:
    from tests.conftest import GROUPS

    parser = argparse.ArgumentParser(prog="./test", description="Set up and run every test of KOS.")
    parser.add_argument("--list", action="store_true", help="name the groups and what each covers")
    parser.add_argument(
        "--only", action="append", metavar="GROUP", choices=list(GROUPS), help="run one group"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="test files side by side (%(default)s)"
    )
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    arguments = parser.parse_args()
    if arguments.list:
        for name, covers in GROUPS.items():
            print(f"{name:10} {covers}")
        return
    build_programs()
    os.chdir(ROOT)
    command = [sys.executable, "-m", "pytest", "-n", str(arguments.jobs), "--dist", "loadfile"]
    command += ["--no-loadscope-reorder", "--durations=15"]
    command += [f"--group={name}" for name in arguments.only or []]
    os.execv(sys.executable, command + arguments.pytest)


if __name__ == "__main__":
    main()
