"""Every rule finds its seeded fault and nothing else: rule × bad manifest."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from kos.assurance import all_rules
from tests.assurance import bad
from tests.assurance.world import CASES, Case, clean

for _info in pkgutil.iter_modules(bad.__path__):
    importlib.import_module(f"{bad.__name__}.{_info.name}")


def found(case: Case) -> set[str]:
    world = clean()
    case.spoil(world)
    return {finding.rule.id for finding in world.judge().findings}


def test_the_clean_system_is_clean_and_every_rule_looked():
    report = clean().judge()
    assert [finding.message for finding in report.findings] == []
    assert report.skipped == ()
    assert set(report.rules) == set(all_rules())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}:{case.name}")
def test_a_fault_is_found_and_nothing_else(case: Case):
    expected = set(case.also) if case.near_miss else {case.rule, *case.also}
    if case.near_miss and case.rule not in case.also:
        assert case.rule not in found(case)
    assert found(case) == expected


def test_every_rule_has_a_bad_manifest_and_a_near_miss():
    for rule in all_rules():
        mine = [case for case in CASES if case.rule == rule.id]
        assert any(not case.near_miss for case in mine), f"{rule.id} has no bad manifest"
        assert any(case.near_miss for case in mine), f"{rule.id} has no near miss"


def test_bad_manifests_have_names_of_their_own():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


def test_the_matrix():
    """Print rule × manifest: pytest -rP tests/assurance/test_matrix.py -k the_matrix."""
    rules = [rule.id for rule in all_rules()]
    print("columns:", " ".join(rules))
    for case in CASES:
        fired = found(case)
        assert bool(fired) or case.near_miss
        print("".join("X" if rule in fired else "." for rule in rules), f"{case.rule}: {case.name}")
