"""A project is loaded from its files; a fault in the user's code is told as theirs, at its line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kos.manifest import ManifestError
from kos.manifest.load import load_project

GOOD = """\
from kos.manifest import App, PythonImage
from kos.systems import Poukai
from kos.manifest import System
from helper import NAME

class Layer(System):
    base = Poukai

class Mine(System):
    base = Layer
    def setup(self, ctx):
        return ctx.put_app(App(ctx.config.text("app", "name"), PythonImage("apps/one"), arguments=[NAME]))
"""


def project(path: Path, system: str, config: str = '[app]\nname = "one"\n') -> Path:
    (path / "system.py").write_text(system)
    (path / "config.toml").write_text(config)
    (path / "helper.py").write_text("NAME = 'helper'\n")
    return path


def test_a_project_is_loaded(tmp_path: Path):
    loaded = load_project(project(tmp_path, GOOD), {})
    manifest = loaded.manifest()
    assert manifest.name == "mine"
    assert manifest.where == "system.py:9"
    assert manifest.apps["one"].where == "system.py:12"
    assert manifest.apps["one"].arguments == ("helper",)
    assert manifest.apps["rng_server"].where == "system.py:6"
    assert load_project(tmp_path / "system.py", {}).manifest() == manifest


def test_two_projects_do_not_share_modules(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    load_project(project(tmp_path / "a", GOOD), {})
    project(tmp_path / "b", GOOD)
    (tmp_path / "b" / "helper.py").write_text("NAME = 'other'\n")
    assert load_project(tmp_path / "b", {}).manifest().apps["one"].arguments == ("other",)
    assert "helper" not in sys.modules


def test_the_environment_reaches_the_system(tmp_path: Path):
    loaded = load_project(project(tmp_path, GOOD), {"KOS_CONFIG_APP__NAME": "renamed"})
    assert "renamed" in loaded.manifest().apps


BAD = {
    "syntax": ("def (:\n", 1, "invalid syntax"),
    "raises_at_import": ("x = 1\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
    "raises_in_setup": (
        "from kos.manifest import System\nclass S(System):\n"
        "    def setup(self, ctx):\n        return ctx.nothing\n",
        4,
        "AttributeError: 'Context' object has no attribute 'nothing'",
    ),
    "not_imported": (
        "from kos.manifest import System\nclass S(System):\n"
        "    def setup(self, ctx):\n        return CImage()\n",
        4,
        "NameError: name 'CImage' is not defined\nhint: from kos.manifest import CImage",
    ),
    "returns_nothing": (
        "from kos.manifest import System\nclass S(System):\n    def setup(self, ctx):\n        pass\n",
        2,
        "S.setup returned NoneType, expected a Context\nhint: end it with: return ctx",
    ),
    "dangling": (
        "from kos.manifest import System\nclass S(System):\n    def setup(self, ctx):\n"
        "        return (ctx\n            .put_msg_server('msg0')\n            .put_port('a', 'msg1'))\n",
        6,
        "there is no message server 'msg1'\nhint: did you mean 'msg0'?",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_in_the_users_code_says_its_line(tmp_path: Path, fault: str):
    text, line, message = BAD[fault]
    with pytest.raises(ManifestError) as caught:
        load_project(project(tmp_path, text), {}).manifest()
    assert caught.value.where == f"{tmp_path}/system.py:{line}"
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines no System"),
        (
            "from kos.manifest import System\nclass A(System): pass\nclass B(System): pass\n",
            "defines several systems: A, B",
        ),
    ],
)
def test_a_file_holds_one_system(tmp_path: Path, text: str, message: str):
    with pytest.raises(ManifestError, match=message):
        load_project(project(tmp_path, text), {})


def test_no_project(tmp_path: Path):
    with pytest.raises(ManifestError, match=r"(?s)no system.py in .*new.system"):
        load_project(tmp_path / "none", {})


def test_a_setting_that_is_not_utf8(tmp_path: Path):
    project(tmp_path, GOOD)
    (tmp_path / "config.toml").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match="not UTF-8 at byte 0"):
        load_project(tmp_path, {})


def test_reading_a_manifest_loads_nothing_that_only_makes_one():
    code = "import sys, kos.manifest.codec; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"tomllib", "difflib", "rfc8785", "kos.manifest.context"} & set(loaded)
