"""The guides are executed: the files they show make a system, and its console is what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kos.manifest.load import load_project
from tests.examples.running import Start
from tests.tool.running import kos_tool

pytestmark = [pytest.mark.group("examples"), pytest.mark.timeout(600)]

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def write_files(guide: Path, folder: Path) -> Path:
    for name, text in FILE.findall(guide.read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("name", ["python_app", "c_app"])
def test_the_system_of_a_guide_runs_as_it_says(name: str, tmp_path: Path, start: Start) -> None:
    guide = DOCS / "guides" / f"{name}.md"
    system = start(write_files(guide, tmp_path / name))
    system.wait_for(r"\d+ of \d+ apps ready")
    [console] = CONSOLE.findall(guide.read_text())
    for line in console.splitlines():
        system.expect(re.escape(line) + "$")


def test_the_manifest_of_its_guide_is_one(tmp_path: Path) -> None:
    guide = DOCS / "guides" / "system_manifest.md"
    project = load_project(write_files(guide, tmp_path))
    names = {**type(project.system).setup.__globals__}
    _system, test = PYTHON.findall(guide.read_text())
    exec(compile(test, str(guide), "exec"), names)
    judged = kos_tool("manifest.check", tmp_path)
    assert judged.returncode == 0, judged.stdout


def test_a_dangling_name_is_told_as_the_guide_says(tmp_path: Path) -> None:
    guide = DOCS / "guides" / "system_manifest.md"
    system = write_files(guide, tmp_path) / "system.py"
    system.write_text(system.read_text().replace('connect_protocol("sensor"', 'connect_protocol("sensro"'))
    [shown] = re.findall(r"^```text\n(error: .*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL)
    assert kos_tool("graph", tmp_path).stderr.replace(f"{tmp_path}/", "") == shown


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
