"""The lock files hold what pyproject.toml asks for, with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}


def pins(extra: str) -> dict[str, str]:
    name = f"requirements-{extra}.lock" if extra else "requirements.lock"
    text = (ROOT / "setup" / name).read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries and all("--hash=sha256:" in entry for entry in entries)
    return dict(entry.split(maxsplit=1)[0].split("==") for entry in entries)


@pytest.mark.parametrize("extra", WANTED)
def test_each_requirement_is_pinned_within_its_range(extra):
    pinned = pins("") | pins(extra)
    for text in WANTED[extra]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name}: run setup/lock.py --keep"
        assert requirement.specifier.contains(pinned[name]), f"{name}: run setup/lock.py --keep"


def test_no_package_is_pinned_at_two_versions():
    for one in WANTED:
        for other in WANTED:
            first, second = pins(one), pins(other)
            assert all(first[name] == second[name] for name in first.keys() & second.keys())
