"""One name, two ports, one app."""

from collections import defaultdict
from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, practice, rule


@rule(
    "ambiguous-port",
    Severity.MEDIUM,
    "An app is granted one port name on two message servers",
    looks_at="the port names that each app is granted",
    why=(
        "An app asks for a port by its name alone: which of the two answers is decided by an order that "
        "nobody wrote down, so a message can go to the wrong server."
    ),
    sources=(*practice("Confused deputy (Hardy 1988)"), *iec("CR 2.1")),
    fix="give one of the ports another name, or take one of the grants away",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        on: dict[str, list[str]] = defaultdict(list)
        for port, _ in app.grants():
            on[port.name].append(port.msg_server)
        for name, servers in sorted(on.items()):
            if len(servers) > 1:
                yield Fault(f"{app.name} is granted {name} on {' and '.join(sorted(servers))}", app)
