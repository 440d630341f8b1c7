"""The self-test's own checks, on what they must catch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.services.selftest import randomness, sandbox
from kos.services.selftest.main import run

CONFINED = (
    "Name:\tpython3\nNoNewPrivs:\t1\nSeccomp:\t2\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
)
NET_DEV = "Inter-|   Receive\n face |bytes\n"


def test_random_bytes_pass() -> None:
    before = b""
    for _ in range(200):
        data = os.urandom(4096)
        randomness.check(data, before)
        before = data


@pytest.mark.parametrize(
    ("data", "before", "message"),
    [
        (bytes(4096), b"", "twice"),
        (b"\xaa" * 4096, b"", "twice"),
        (bytes(range(256)) * 16, b"", "twice"),
        (b"".join(n.to_bytes(16, "big") for n in range(256)), b"", "half of 32768"),
        (bytes(range(256)), bytes(range(256)), "twice"),
    ],
)
def test_what_is_not_random_is_told(data: bytes, before: bytes, message: str) -> None:
    with pytest.raises(KosError, match=message):
        randomness.check(data, before)


def proc(folder: Path, *, status: str = CONFINED, interfaces: str = "    lo: 0\n", pids: int = 0) -> str:
    (folder / "self/net").mkdir(parents=True)
    (folder / "self/status").write_text(status)
    (folder / "self/net/dev").write_text(NET_DEV + interfaces)
    for pid in range(1_000_000, 1_000_000 + pids):
        (folder / str(pid)).mkdir()
    return str(folder)


def test_a_confined_process_passes(tmp_path: Path) -> None:
    place = proc(tmp_path)
    sandbox.no_network(place)
    sandbox.no_other_processes(place)
    sandbox.confined(place)


def test_a_network_is_found(tmp_path: Path) -> None:
    place = proc(tmp_path, interfaces="    lo: 0\n  eth0: 0\n")
    with pytest.raises(KosError, match="expected no network, found eth0"):
        sandbox.no_network(place)


def test_other_processes_are_found(tmp_path: Path) -> None:
    with pytest.raises(KosError, match="expected no other processes, found 2"):
        sandbox.no_other_processes(proc(tmp_path, pids=2))


@pytest.mark.parametrize(
    ("had", "has"),
    [
        ("Seccomp:\t2", "Seccomp:\t0"),
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
        ("CapEff:\t0", "CapEff:\t8"),
        ("CapBnd", "X"),
    ],
)
def test_missing_confinement_is_found(tmp_path: Path, had: str, has: str) -> None:
    with pytest.raises(KosError, match=had.split(":")[0]):
        sandbox.confined(proc(tmp_path, status=CONFINED.replace(had, has)))


def test_a_place_that_can_be_written_is_found_and_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(KosError, match="to be read-only"):
        sandbox.read_only([str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_every_check_runs_and_all_failures_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    def bad() -> None:
        raise KosError("expected good")

    def broken() -> None:
        raise OSError("gone")

    with pytest.raises(KosError, match="self-test failed: one, three"):
        run({"one": bad, "two": lambda: None, "three": broken})
    assert capsys.readouterr().out == "failed one: expected good\npassed two\nfailed three: gone\n"
