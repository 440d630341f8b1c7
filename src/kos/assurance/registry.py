"""All rules: ours, one file each below `rules/`, and those of installed plug-ins.

A plug-in is a package with an entry point in the group `kos.assurance.rules` whose value is a `Rule`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from kos.assurance import rules as rules_package
from kos.assurance.errors import AssuranceError
from kos.assurance.rule import Rule

ENTRY_POINTS = "kos.assurance.rules"


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of groups and ids."""
    found = [*our_rules(), *plug_ins(entry_points(group=ENTRY_POINTS))]
    by_id: dict[str, Rule] = {}
    for rule in found:
        if rule.id in by_id:
            raise AssuranceError(f"two rules are called {rule.id!r}", hint="rename the plug-in's")
        by_id[rule.id] = rule
    return tuple(sorted(found, key=lambda rule: (rule.group, rule.id)))


def rule_by_id(id: str) -> Rule:
    """The rule of that name."""
    for rule in all_rules():
        if rule.id == id:
            return rule
    raise AssuranceError(f"there is no rule {id!r}", hint="kos-tool manifest.check --list-rules shows them")


def plug_ins(points: Iterable[EntryPoint]) -> list[Rule]:
    """The rules that installed packages offer."""
    found = []
    for point in points:
        try:
            loaded = point.load()
        except Exception as error:  # somebody else's code: whatever it raises is about that plug-in
            raise AssuranceError(
                f"the plug-in {point.name!r} does not load: {type(error).__name__}: {error}",
                where=point.value,
                hint="repair or uninstall its package",
            ) from error
        if not isinstance(loaded, Rule):
            raise AssuranceError(f"the plug-in {point.name!r} is {type(loaded).__name__}, expected a Rule")
        found.append(loaded)
    return found


def our_rules() -> list[Rule]:
    """The rules of this package, without any plug-in's, in the order of groups and ids."""
    found = [rule for module in _modules(rules_package) for rule in _rules_of(module)]
    return sorted(found, key=lambda rule: (rule.group, rule.id))


def _modules(package: ModuleType) -> list[ModuleType]:
    names = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [importlib.import_module(info.name) for info in names if not info.ispkg]


def _rules_of(module: ModuleType) -> list[Rule]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, Rule) and value.look.__module__ == module.__name__
    ]
