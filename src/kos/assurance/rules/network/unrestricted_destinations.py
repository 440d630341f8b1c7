"""An app may speak to anyone."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.assurance.settings import table

_ANYWHERE = "0.0.0.0/0"


@rule(
    "unrestricted-destinations",
    Severity.MEDIUM,
    "An app may send to every address behind the tunnel",
    looks_at="apps with a network against the allow list of the tunnel",
    why="A compromised app becomes a foothold: it scans, it attacks others, it carries data away. A list of "
    "destinations is cheap, since a device speaks to few.",
    sources=(*etsi("5.6-1", "5.6-7"), *iec("CR 5.1", "CR 7.7")),
    fix='list what it needs in the tunnel\'s config: {"allow": {"APP": ["tcp 10.90.0.1 4182"]}}',
)
def check(facts: Facts) -> Iterator[Fault]:
    allowed = {
        app
        for tunnel in facts.service("tunnel")
        for app, rules in table(tunnel.config.get("allow")).items()
        if isinstance(rules, list | tuple) and not any(_ANYWHERE in str(rule) for rule in rules)
    }
    for app, access in facts.networked:
        if service_of(app) is None and app.name not in allowed:
            yield Fault(f"{app.name} may send to every address behind the tunnel", app, access.where)
