"""A password that everybody knows."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.assurance.secrets import is_default, named_secret


@rule(
    "default-credential",
    Severity.CRITICAL,
    "A password is one that everybody tries first",
    looks_at="configuration, environment and arguments, under names that say password, token or the like",
    why="Worms log in with a list of such passwords; it takes them seconds.",
    sources=(*etsi("5.1-1", "5.1-2"), *iec("CR 1.5", "CR 1.7")),
    fix="provision a secret for each device and keep it in the key store",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, path, name, text in facts.texts:
        if named_secret(name, text) and is_default(text):
            yield Fault(f"{app.name} has a well-known password in {path}", app)
