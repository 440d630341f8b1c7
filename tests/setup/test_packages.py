"""Installing Debian packages: what is missing, asking first, and the commands that are then run.

The package tools are stood in for: a test must not install anything on the machine that it runs on.
"""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.tool import packages

SCRIPT = Path(__file__).resolve().parents[2] / "setup" / "packages.sh"
STANDINS = {
    "dpkg-query": 'for last; do :; done; [ "$last" = "${THERE:-}" ] && printf installed || exit 1',
    "apt-get": 'echo "apt-get $*" >>"$CALLS"; [ $1 = update ] || [ ! -e $FAIL ] || { rm $FAIL; exit 100; }',
    "id": "echo ${AS:-0}",
    "sudo": 'echo "sudo" >>"$CALLS"; exec "$@"',
}


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """An environment in which the package tools only say what they were asked."""
    for name, line in STANDINS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "FAIL": str(tmp_path / "fail"),
    }


def run(
    machine: dict[str, str], *arguments: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    done = subprocess.run(
        [str(SCRIPT), *arguments],
        env=machine | environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    calls = Path(machine["CALLS"])
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_nothing_is_installed_without_agreement(machine):
    done, calls = run(machine, "setup")
    assert done.returncode == 1 and calls == []
    assert "python3-venv" in done.stderr and "the tools' own Python environment" in done.stderr
    assert "nobody is here to ask" in done.stderr and "apt-get install python3-venv" in done.stderr


@pytest.mark.parametrize("how", [{"arguments": ["--yes"]}, {"KOS_YES": "1"}])
def test_agreed(machine, how):
    arguments = how.pop("arguments", [])
    done, calls = run(machine, *arguments, "setup", **how)
    assert done.returncode == 0, done.stderr
    assert calls == ["apt-get install -y --no-install-recommends python3-venv"]


def test_what_is_there_is_left_alone(machine):
    done, calls = run(machine, "--yes", "setup", THERE="python3-venv")
    assert (done.returncode, done.stderr, calls) == (0, "", [])


def test_old_package_lists_are_renewed(machine):
    Path(machine["FAIL"]).touch()
    done, calls = run(machine, "--yes", "setup")
    assert done.returncode == 0
    assert [call.split()[1] for call in calls] == ["install", "update", "install"]


def test_an_ordinary_user_needs_sudo(machine, tmp_path):
    done, calls = run(machine, "--yes", "setup", AS="1000")
    assert done.returncode == 0 and calls[0] == "sudo"
    (tmp_path / "sudo").unlink()
    bare = machine | {"PATH": f"{tmp_path}:/bin-without-sudo"}
    for name in ("sh", "awk", "env", "dirname", "sort", "tr"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done, _ = run(bare, "--yes", "setup", AS="1000")
    assert done.returncode == 1 and "only root can install" in done.stderr


@pytest.mark.parametrize("arguments", [["nothing"], ["--no"], ["run", "nothing"]])
def test_wrong_arguments(machine, arguments):
    done, calls = run(machine, "--yes", *arguments)
    assert done.returncode == 1 and "hint: " in done.stderr and calls == []


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_person_is_asked(machine, answer, code):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        done = subprocess.run(
            [str(SCRIPT), "setup"], env=machine, stdin=theirs, capture_output=True, text=True, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Install them now?" in done.stderr
    assert done.returncode == code
    assert Path(machine["CALLS"]).exists() is (code == 0)


def test_the_list_is_sorted_by_group_and_each_line_says_why():
    listed = packages.of_groups([])
    assert [(p.group, p.name) for p in listed] == sorted((p.group, p.name) for p in listed)
    assert all(p.why for p in listed)
    with pytest.raises(KosError, match="there is no group"):
        packages.of_groups(["none"])


def test_missing_is_what_dpkg_does_not_have():
    real, made_up = packages.Package("dpkg", "run", ""), packages.Package("no-such-package-kos", "run", "")
    assert packages.missing([real, made_up]) == [made_up]
