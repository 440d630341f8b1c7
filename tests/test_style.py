"""What STYLE promises about the tree as a whole: sizes, import directions, names that must not appear."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "kos"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_MAX = 600

# Each part with the parts that it may import, besides itself and kos.abi. Nothing imports kos.tool.
MAY_IMPORT = {
    "abi": set(),
    "manifest": set(),
    "assurance": {"manifest"},
    "systems": {"manifest"},
    "platforms": {"manifest"},
    "keys": {"manifest"},
    "network": set(),
    # an image holds what the device reads: its paths and records are the device's to say
    "build": {"manifest", "assurance", "systems", "platforms", "keys", "device"},
    "server": {"manifest", "assurance", "systems", "platforms", "keys", "build", "network", "tracing"},
    "app": {"manifest"},
    "device": {"manifest", "app", "keys", "network"},
    "services": {"manifest", "app", "device", "network"},
    "tracing": set(),
    "tool": {
        "tracing",
        "network",
        "manifest",
        "assurance",
        "systems",
        "platforms",
        "keys",
        "build",
        "server",
        "app",
        "device",
        "services",
    },
}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Names of the parts of kos that a module imports, anywhere in it."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module] if node.module != "kos" else [f"kos.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("kos.")}
    return parts


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX, f"over {LINES_MAX} lines: split it"
    tree = ast.parse(text)
    assert not tree.body or ast.get_docstring(tree), "no module docstring: say what it is for and must not do"
    part = part_of(path)
    if part not in ("__init__", "tool"):
        foreign = imports_of(path) - MAY_IMPORT[part] - {part, "abi"}
        assert not foreign, f"kos.{part} must not import {sorted(foreign)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            only_passes = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            assert not only_passes or node.type is not None, f"line {node.lineno}: an error is swallowed"
            assert node.type is not None, f"line {node.lineno}: a bare except"


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    return [file for file in files if file.is_file() and not {"vendor", "static", "golden"} & set(file.parts)]


def test_no_registry_or_mirror_is_named():
    hosts = re.compile(
        "|".join(
            ["pypi" + r"\.org", "deb" + r"\.debian\.org", "registry" + r"\.npmjs", "files.python" + "hosted"]
        )
    )
    for file in tracked_text_files():
        text = file.read_bytes().decode("utf-8", "ignore")
        assert not hosts.search(text), f"{file.relative_to(ROOT)} names a registry's or mirror's host"


def links_of(page: Path) -> list[str]:
    """What a page links to below this folder."""
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    return [target for target in found if "://" not in target]


def test_links_in_the_docs_lead_somewhere():
    for page in [file for file in tracked_text_files() if file.suffix == ".md"]:
        for target in links_of(page):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_page_of_the_docs_and_of_the_examples_is_reached_from_the_first():
    waiting, seen = [ROOT / "docs/README.md"], set()
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = [(page.parent / target).resolve() for target in links_of(page)]
        waiting += [target for target in targets if target.suffix == ".md" and target.is_file()]
    pages = [file for file in tracked_text_files() if file.suffix == ".md"]
    ours = [file for file in pages if {"docs", "examples"} & set(file.relative_to(ROOT).parts[:1])]
    missed = sorted(str(file.relative_to(ROOT)) for file in ours if file not in seen)
    assert not missed, f"docs/README.md leads to none of {', '.join(missed)}"


@pytest.mark.parametrize("command", [["check", "--no-cache"], ["format", "--check", "--no-cache"]])
def test_ruff_finds_nothing(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
