"""The set-up of ./kos-tool and ./test, on a small tree of its own: done once, done whole, done by one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1200)

SCRIPT = """\
#!/bin/sh
set -eu
. "$1/setup/environment.sh"
kos_environment "$@"
"$KOS_PYTHON" -c 'import kos; print(kos.WHERE)'
"""
# Stands for the real build: says that it ran, and waits while a file is there.
NATIVE = """
import pathlib, time
root = pathlib.Path(__file__).parents[3]
with (root / "built").open("a") as log:
    log.write("x\\n")
while (root / "wait").exists():
    time.sleep(0.02)
(root / "src/kos/app").mkdir(exist_ok=True)
(root / "src/kos/app/_native.abi3.so").touch()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the real set-up, and almost nothing to set up."""
    root = tmp_path / "tree with a space"
    for folder in ("setup", "native", "examples", "src/kos/abi", "src/kos/build", "src/kos/device"):
        (root / folder).mkdir(parents=True)
    for name in ("environment.sh", "packages.sh", "debian-packages.txt"):
        shutil.copy2(ROOT / "setup" / name, root / "setup" / name)
    for lock in ("requirements.lock", "requirements-test.lock"):
        (root / "setup" / lock).write_text("# nothing\n")
    (root / "pyproject.toml").write_text("")
    (root / "src/kos/__init__.py").write_text("WHERE = __file__\n")
    (root / "src/kos/build/native.py").write_text(NATIVE)
    (root / "src/kos/device/launcher.py").write_text("")
    (root / "native/main.c").write_text("int x;\n")
    (root / "start").write_text(SCRIPT)
    return root


def start(tree: Path, *extras: str, **how) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(tree / "start"), str(tree), *extras],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    return out, err


def builds(tree: Path) -> int:
    return len((tree / "built").read_text().splitlines())


def test_once_and_again_only_when_something_changed(tree):
    out, err = finish(start(tree))
    assert out == f"{tree}/src/kos/__init__.py\n"
    assert "installing Python packages (base)" in err and "building the native parts" in err
    _, err = finish(start(tree))
    assert err == "" and builds(tree) == 1

    (tree / "native/main.c").write_text("int y;\n")
    _, err = finish(start(tree))
    assert "Python packages" not in err and builds(tree) == 2

    (tree / "setup/requirements.lock").write_text("# nothing else\n")
    _, err = finish(start(tree))
    assert "installing Python packages (base)" in err and builds(tree) == 2

    _, err = finish(start(tree, "test"))
    assert "installing Python packages (test)" in err and "(base)" not in err


def test_three_first_starts_do_the_work_once(tree):
    for process in [start(tree) for _ in range(3)]:
        finish(process)
    assert builds(tree) == 1


def test_an_interrupted_set_up_is_done_again(tree):
    (tree / "wait").touch()
    process = start(tree, start_new_session=True)
    deadline = time.monotonic() + 400
    while not (tree / "built").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (tree / "wait").unlink()
    finish(start(tree))
    assert builds(tree) == 2

    (tree / ".venv/.kos-incomplete").touch()
    _, err = finish(start(tree))
    assert "installing Python packages (base)" in err
    (tree / ".venv/bin/python").unlink()
    _, err = finish(start(tree))
    assert "making a Python environment" in err


def test_a_failed_build_is_an_error_and_is_tried_again(tree):
    good = (tree / "src/kos/build/native.py").read_text()
    (tree / "src/kos/build/native.py").write_text("raise SystemExit('no compiler')\n")
    process = start(tree)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 1 and "no compiler" in err and "hint: " in err
    (tree / "src/kos/build/native.py").write_text(good)
    finish(start(tree))


def test_a_server_brings_its_own_packages(tree):
    shutil.copy2(ROOT / "kos-tool", tree / "kos-tool")
    (tree / "src/kos/tool").mkdir()
    (tree / "src/kos/tool/__main__.py").write_text("import sys; print(sys.argv[1:])\n")
    (tree / "setup/requirements-server.lock").write_text("# nothing\n")
    for arguments, brought in ((["status"], False), (["server.start", "--fleet"], True)):
        done = subprocess.run([tree / "kos-tool", *arguments], capture_output=True, text=True, check=False)
        assert done.stdout == f"{arguments}\n", done.stderr
        assert (tree / ".venv/.kos-server").exists() == brought


def test_an_unknown_extra(tree):
    process = start(tree, "more")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 1 and "no such extra: more" in err and "hint: " in err


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may enter. pytest's own are shut, anew by each run that starts."""
    with tempfile.TemporaryDirectory(prefix="kos-open-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_tree_is_copied(tree, open_place):
    """As an ordinary user, in a tree that root unpacked."""
    tree = shutil.move(tree, open_place / tree.name)
    home = open_place / "home"
    home.mkdir()
    if os.getuid() == 0:
        if not os.path.exists("/usr/bin/setpriv"):
            pytest.skip("needs setpriv: apt-get install util-linux")
        os.chown(home, 65534, 65534)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        interpreter = shutil.which("python3", path="/usr/bin")
        if interpreter is None:
            pytest.skip("needs a Python that every user may run: apt-get install python3 python3-venv")
    else:
        for place in [tree, *tree.rglob("*")]:
            place.chmod(place.stat().st_mode & ~0o222)
        command = []
    done = subprocess.run(
        [*command, "env", f"HOME={home}", "PATH=/usr/bin:/bin", "sh", str(tree / "start"), str(tree)],
        env={k: v for k, v in os.environ.items() if not k.startswith("XDG_")},
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if os.getuid() != 0:
        for place in [tree, *tree.rglob("*")]:
            place.chmod(place.stat().st_mode | 0o200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{home}/.cache/kos/tree-")
    assert not (tree / ".venv").exists() and not (tree / "built").exists()


def test_no_python_that_fits(tree, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("cat", "find", "sort", "xargs", "sha256sum", "cut", "readlink", "dirname", "mkdir", "flock"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    (tmp_path / "bin/python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python3").chmod(0o755)
    process = start(tree, env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}, executable="/bin/sh")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 was not found" in err and "hint: apt-get install python3" in err
