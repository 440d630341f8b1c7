"""C programs that test libkos by themselves, and what assertions print."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize("program", ["unit_messages", "unit_owned", "unit_trace"])
def test_unit(programs: Path, program: str) -> None:
    done = run(programs / program)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hostile_mailbox_headers_never_reach_the_app(programs: Path, seed: int) -> None:
    done = run(programs / "fuzz" / "fuzz_owned", str(seed), "5000")
    assert (done.returncode, done.stdout) == (0, "ok: 5000 inputs\n"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("assert", "assertion failed: expected 1 + 1 == 3: numbers are odd"),
        ("assert_null", "assertion failed: expected false"),
        ("assert_eq", "assertion failed: expected sizeof all == 3, 3, found 64: a message"),
        ("assert_ok", "assertion failed: STATUS_NOT_FOUND: expected STATUS_OK, found STATUS_NOT_FOUND (139)"),
        (
            "assert_created",
            "assertion failed: STATUS_OK: expected STATUS_CREATED, found STATUS_OK (128): made by nobody",
        ),
        ("stop", "stopped: a reason"),
    ],
)
def test_a_failed_assertion_says_what_was_expected_and_fails_the_app(
    programs: Path, which: str, said: str
) -> None:
    done = run(programs / "every_name", "asserts", which)
    assert done.returncode == 1
    # The line that was begun before is not torn apart, and the place is the app's own source.
    line = done.stdout.removeprefix("a line in two parts, and ")
    assert line.endswith(f"{said}\n")
    assert "every_name.c:" in line or which == "stop"


def test_assert_eq_compares_as_c_does(programs: Path) -> None:
    done = run(programs / "every_name", "asserts", "assert_eq_signs")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["a line in two parts, and the end without a new-line"],
    )


def test_without_a_message_server_everything_is_unavailable(programs: Path) -> None:
    done = run(programs / "every_name", "echo")
    assert done.returncode == 1
    assert "kos_msg_setup(): expected STATUS_CREATED, found STATUS_UNAVAILABLE" in done.stdout
