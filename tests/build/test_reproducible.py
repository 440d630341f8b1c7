"""Two builds of one project give the same bytes, whoever runs them, where and when."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.projects import C_MAIN, c_app, put, wheel

pytestmark = pytest.mark.timeout(600)
SYSTEM = """
    from kos.manifest import App, CImage, PythonImage, System
    from kos.systems import Poukai


    class Both(System):
        base = Poukai

        def setup(self, ctx):
            for name in {"zeta", "alpha", "station"}:
                ctx = ctx.put_app(App(name, PythonImage("apps/station"), environ={"B": "2", "A": "1"}))
            return ctx.put_app(App("blink", CImage("apps/blink")))
"""


BUILD = """
import sys
from pathlib import Path
from kos.build.cache import Cache
from kos.build.system import Builder
from kos.manifest.load import load_project

Builder(load_project(Path(sys.argv[1])), cache=Cache(Path(sys.argv[2]))).build().write(Path(sys.argv[3]))
"""


def build(project: Path, place: Path, umask: int, **environment: str) -> bytes:
    """Build in a process of its own, with no image in the cache."""
    previous = os.umask(umask)
    try:
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(project), str(place / "cache"), str(place / "manifest.zip")],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.umask(previous)
    assert done.returncode == 0, done.stderr
    return (place / "manifest.zip").read_bytes()


def test_two_directories_umasks_zones_dates_and_hash_seeds(tmp_path, offline, project):
    put(project, system_py=SYSTEM)
    app = project / "apps/station"
    (app / "pyproject.toml").write_text("[project]\nname = 'station'\ndependencies = ['plain', 'deep']\n")
    wheel(app / "wheels", "plain", requires=("deep",))
    wheel(app / "wheels", "deep")
    c_app(project / "apps/blink", main=C_MAIN)
    first = build(project, tmp_path / "1", 0o022, TZ="UTC", PYTHONHASHSEED="1", LANG="C")

    other = tmp_path / "elsewhere" / "with a space"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("build"))
    for path in other.rglob("*"):
        os.utime(path, (10, 1_000_000_000))
    second = build(
        other, tmp_path / "2", 0o077, TZ="Pacific/Auckland", PYTHONHASHSEED="2", LANG="de_DE.UTF-8",
        SOURCE_DATE_EPOCH="5",
    )  # fmt: skip
    assert first == second
