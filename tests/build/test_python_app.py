"""Images of Python apps, and the wheels in them. No index is asked: the wheels lie beside the app."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from kos.build import wheels
from kos.build.errors import BuildError
from kos.build.python_app import PythonApp, unpack_wheel
from kos.build.system import Builder
from kos.build.target import target
from kos.manifest.load import load_project
from tests.build.projects import put, python_app, wheel
from tests.tool.running import kos_tool

pytestmark = pytest.mark.usefixtures("offline")
AARCH64 = target("aarch64")


def names_in(built) -> list[str]:
    (blob,) = built.blobs.values()
    with tarfile.open(blob) as tar:
        return [info.name for info in tar if info.isfile()]


def build(project: Path, cache, platform: str = "host", **how):
    return Builder(load_project(project), platform, cache=cache, **how).build()


def test_an_app_without_dependencies(project, cache):
    assert names_in(build(project, cache)) == ["site/station/__init__.py"]
    assert not (project / "apps/station/kos.lock").exists()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"src__station__init_py": "def main(): ..."}, ["site/station/init.py"]),
        ({"station_py": "def main(): ..."}, ["site/station.py"]),
        (
            {"__init___py": "def main(): ...", "other_py": ""},
            ["site/station/__init__.py", "site/station/other.py"],
        ),
        ({"station_py": "def main(): ...", "tests__t_py": "", "setup_py": ""}, ["site/station.py"]),
    ],
)
def test_layouts(tmp_path, cache, files, expected):
    root = tmp_path / "station"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname='station'\n")
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = root / f"{stem if stem.startswith('__') else stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    app = PythonApp.load(root, AARCH64)
    app.fill(tmp_path / "out", [], AARCH64, cache)
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.py"))
    assert found == expected


def test_built_again_only_when_something_changed(project, cache):
    assert build(project, cache).made == ["station"]
    assert build(project, cache).made == []
    (project / "apps/station/station/more.py").write_text("")
    assert build(project, cache).made == ["station"]
    (project / "apps/station/station/more.py").unlink()
    assert build(project, cache).made == []


def test_a_damaged_cache_is_not_believed(project, cache):
    (blob,) = build(project, cache).blobs.values()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    built = build(project, cache)
    assert built.made == ["station"]
    built.write(project / "manifest.zip")


def test_dependencies_are_locked_for_each_target(project, cache):
    app = python_app(project / "apps/station", dependencies='["fast>=1"]')
    arm, intel = "cp313-cp313-manylinux_2_17_aarch64", "py3-none-manylinux_2_17_x86_64"
    wheel(app / "wheels", "fast", "1.0", tag=arm, requires=("plain",))
    wheel(app / "wheels", "fast", "1.0", tag=intel)
    wheel(app / "wheels", "plain")
    names = names_in(build(project, cache, "qemu-arm-virt"))
    assert "site/fast/__init__.py" in names and "site/plain/__init__.py" in names
    assert not any("wheels" in name or name.endswith(("kos.lock", "pyproject.toml")) for name in names)
    lock = json.loads((app / "kos.lock").read_text())
    assert [entry["name"] for entry in lock["targets"]["aarch64-python3.13"]] == ["fast", "plain"]
    assert build(project, cache, "qemu-arm-virt", may_lock=False).made == []


def test_every_machine_can_be_locked_at_once(project):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    wheel(app / "wheels", "plain")
    done = kos_tool("deps.lock", project)
    assert done.returncode == 0, done.stderr
    lock = json.loads((app / "kos.lock").read_text())
    assert {"x86_64-python3.11", "aarch64-python3.13", "armv7l-python3.13"} <= set(lock["targets"])
    assert len(done.stdout.splitlines()) == len(lock["targets"])


def test_the_lock_decides_not_what_is_newest(project, cache):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    wheel(app / "wheels", "plain", "1.0")
    build(project, cache)
    wheel(app / "wheels", "plain", "2.0")
    assert any("plain-1.0" in name for name in names_in(build(project, cache)))
    (app / "kos.lock").unlink()
    assert any("plain-2.0" in name for name in names_in(build(project, cache)))


def test_markers_are_those_of_the_target(project, cache):
    app = python_app(
        project / "apps/station",
        dependencies="""["arm; platform_machine == 'aarch64'", "other; platform_machine != 'aarch64'"]""",
    )
    wheel(app / "wheels", "arm")
    names = names_in(build(project, cache, "qemu-arm-virt"))
    assert "site/arm/__init__.py" in names


def test_locked_means_locked(project, cache):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    wheel(app / "wheels", "plain")
    with pytest.raises(BuildError, match="build once without --locked"):
        build(project, cache, may_lock=False)
    assert not (app / "kos.lock").exists()
    build(project, cache)
    python_app(app, dependencies='["plain>=1"]')
    with pytest.raises(BuildError, match="build once without --locked"):
        build(project, cache, may_lock=False)


def test_another_file_under_a_locked_name_is_refused(project, tmp_path, cache):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    wheel(app / "wheels", "plain")
    build(project, cache)
    wheel(app / "wheels", "plain", extra={"plain/evil.py": b"1"})
    with pytest.raises(BuildError, match=r"(?i)hash"):
        build(project, type(cache)(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("dependency", "message"),
    [
        ("--index-url=x", "--index-url"),
        ("x @ https://example.com/x.whl", "fetched from an address"),
        ("nothing-has-this-name", "needs a wheel"),
        ("plain==9", "needs a wheel"),
    ],
)
def test_dependencies_that_cannot_be(project, cache, dependency, message):
    app = python_app(project / "apps/station", dependencies=f'["{dependency}"]')
    wheel(app / "wheels", "plain")
    with pytest.raises(BuildError, match=message):
        build(project, cache)
    assert not (app / "kos.lock").exists()


def test_a_source_distribution_is_refused(project, cache):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    put(app / "wheels")
    (app / "wheels").mkdir()
    with tarfile.open(app / "wheels" / "plain-1.0.tar.gz", "w:gz"):
        pass
    with pytest.raises(BuildError, match="needs a wheel"):
        build(project, cache)


@pytest.mark.parametrize(
    "lock",
    ["", "[]", "{}", '{"version": 2, "requires": [], "targets": {}}',
     '{"version": 1, "requires": ["plain"], "targets": {"x": [{"name": "plain"}]}}',
     '{"version": 1, "requires": ["plain"], "targets": {"x": [{"name": "p", "version": "1",'
     ' "file": "../x.whl", "sha256": "' + "0" * 64 + '"}]}}', "\xff", "[" * 100_000],
)  # fmt: skip
def test_damaged_lock_files(project, cache, lock):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    (app / "kos.lock").write_text(lock, encoding="latin-1")
    with pytest.raises(BuildError, match="not a lock file"):
        build(project, cache)


def test_a_lock_file_one_byte_too_long(project, cache, monkeypatch):
    app = python_app(project / "apps/station", dependencies='["plain"]')
    monkeypatch.setattr(wheels, "LOCK_BYTES_MAX", 10)
    (app / "kos.lock").write_text(" " * 11)
    with pytest.raises(BuildError, match="more than 10"):
        build(project, cache)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pyproject_toml": "["}, "not TOML"),
        ({"pyproject_toml": "project = 1"}, "expected a list of strings"),
        ({"pyproject_toml": "[project]\ndependencies = 'x'"}, "expected a list of strings"),
        ({"pyproject_toml": "[project]\nrequires-python = '<3'"}, "requires Python <3"),
        ({"pyproject_toml": "[project]\nrequires-python = 'new'"}, "not a version range"),
        ({"station__other_py": "def ("}, r"other\.py:1: "),
        ({"station__other_py": "x = '\0'"}, r"other\.py"),
    ],
)
def test_apps_that_cannot_be_built(project, cache, files, message):
    put(project / "apps/station", **files)
    with pytest.raises(BuildError, match=message):
        build(project, cache)


def test_an_entry_that_is_not_there(project, cache):
    (project / "apps/station/station/__init__.py").write_text("def start(): ...")
    with pytest.raises(BuildError, match="defines no 'main'") as caught:
        build(project, cache)
    assert caught.value.hint == "write: def main(): …"
    (project / "apps/station/station").rename(project / "apps/station/other")
    with pytest.raises(BuildError, match="has no module 'station'"):
        build(project, cache)


def test_a_missing_app_or_project_file(project, cache):
    (project / "apps/station/pyproject.toml").unlink()
    with pytest.raises(BuildError, match=r"needs a pyproject\.toml"):
        build(project, cache)
    (project / "apps").rename(project / "gone")
    with pytest.raises(BuildError, match="there is no directory 'apps/station'") as caught:
        build(project, cache)
    assert caught.value.where.startswith("system.py:")


def test_what_of_a_wheel_is_taken(tmp_path):
    made = wheel(
        tmp_path,
        "plain",
        extra={"plain-1.0.data/purelib/deep.py": b"", "plain-1.0.data/scripts/run": b"#!python"},
    )
    unpack_wheel(made, tmp_path / "site")
    assert (tmp_path / "site/deep.py").exists()
    assert not list((tmp_path / "site").rglob("run"))


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py"])
def test_a_wheel_cannot_leave_the_image(tmp_path, name):
    made = wheel(tmp_path / "wheels", "plain", extra={name: b""})
    with pytest.raises(BuildError, match="not a path inside"):
        unpack_wheel(made, tmp_path / "site")
    assert not list(tmp_path.rglob("evil.py"))


def test_wheels_that_disagree(tmp_path):
    (tmp_path / "site").mkdir()
    unpack_wheel(wheel(tmp_path / "wheels", "one", extra={"shared.py": b"1"}), tmp_path / "site")
    with pytest.raises(BuildError, match=r"shared\.py"):
        unpack_wheel(wheel(tmp_path / "wheels", "two", extra={"shared.py": b"2"}), tmp_path / "site")


def test_a_wheel_that_is_none(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"nothing")
    with pytest.raises(BuildError, match="not a wheel"):
        unpack_wheel(tmp_path / "x.whl", tmp_path / "site")
