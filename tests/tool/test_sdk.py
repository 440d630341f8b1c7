"""What the command line says of the SDK: its shell's variables, its versions, what the host lacks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .running import kos_tool

VARIABLES = ("KOS_CC", "KOS_RUNTIME_PATH", "KOS_BUILTINS_PATH", "KOS_TARGET", "KOS_PLATFORM", "KOS_HOME")
EM_ARM, EM_AARCH64 = 40, 183  # e_machine of an ELF header


@pytest.mark.parametrize(("platform", "machine"), [("host", None), ("rpi4", EM_AARCH64), ("am335x", EM_ARM)])
def test_the_shell_has_what_a_c_app_is_built_with(platform, machine, tmp_path):
    done = kos_tool("shell", "-p", platform, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(VARIABLES) <= set(found)
    assert (Path(found["KOS_RUNTIME_PATH"]) / "lib/libkos.a").exists()
    assert Path(found["CMAKE_TOOLCHAIN_FILE"]).exists()
    (tmp_path / "app.c").write_text("int answer(void) { return 42; }\n")
    command = [found["KOS_CC"], "-c", "-I", f"{found['KOS_RUNTIME_PATH']}/include", "app.c", "-o", "app.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    if machine is not None:
        assert (tmp_path / "app.o").read_bytes()[18:20] == machine.to_bytes(2, "little")


def test_a_shell_of_ones_own_reads_the_variables():
    done = kos_tool("shell", "--print")
    script = done.stdout + '\ntest -x "$KOS_CC" && echo $KOS_TARGET'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_the_shell_runs_the_users_shell_and_answers_with_its_code(tmp_path):
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "in $KOS_SHELL $KOS_PLATFORM"\nexit 7\n')
    shell.chmod(0o755)
    done = kos_tool("shell", SHELL=str(shell))
    assert (done.returncode, done.stdout) == (7, "in 1 host\n")


def test_versions_that_are_here_are_named(tmp_path):
    for version in ("1.0.0", "1.1.0-rc1"):
        folder = tmp_path / "sdk" / version
        folder.mkdir(parents=True)
        (folder / "sdk.lock.json").write_text("{}")
    (tmp_path / "sdk/default").symlink_to("1.0.0")
    done = kos_tool("install", "--list", "--json", KOS_HOME=str(tmp_path))
    assert json.loads(done.stdout) == [
        {"version": "1.0.0", "default": True},
        {"version": "1.1.0-rc1", "default": False},
    ]


def test_what_the_host_lacks_is_named_with_the_command_that_brings_it(tmp_path):
    """dpkg-query that knows of nothing stands for a host without packages."""
    empty = tmp_path / "dpkg-query"
    empty.write_text("#!/bin/sh\nexit 1\n")
    empty.chmod(0o755)
    done = kos_tool("deps.check", "qemu", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "qemu-system-arm" in done.stdout and "missing" in done.stdout
    assert "kos-tool deps.check --install qemu" in done.stderr
