"""Two apps know one secret."""

from collections import defaultdict
from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.assurance.secrets import named_secret


@rule(
    "shared-credential",
    Severity.HIGH,
    "Apps share one credential",
    looks_at="values under names that say password, token or the like, compared between apps",
    why="Whoever takes one app takes the identity of all of them, and no log can tell which it was.",
    sources=(*etsi("5.1-1"), *iec("CR 1.2", "CR 1.5")),
    fix="give each app its own, from the key store",
)
def check(facts: Facts) -> Iterator[Fault]:
    holders: dict[str, set[str]] = defaultdict(set)
    for app, _, name, text in facts.texts:
        if named_secret(name, text):
            holders[text].add(app.name)
    for apps in sorted(sorted(names) for names in holders.values() if len(names) > 1):
        yield Fault(f"{' and '.join(apps)} hold the same credential", apps[0])
