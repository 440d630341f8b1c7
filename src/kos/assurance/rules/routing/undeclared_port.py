"""A grant names a port that does not exist."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "undeclared-port",
    Severity.CRITICAL,
    "A grant names a port or message server that is not declared",
    looks_at="every grant against the declared ports",
    why=(
        "The manifest no longer says what exists: a reviewer reads one system and the device may run another."
    ),
    sources=iec("CR 7.6", "CR 2.1"),
    fix="declare the port with put_port, or remove the grant",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, port, access in facts.manifest.grants():
        if not facts.declared(port):
            kind = "port" if port.msg_server in facts.manifest.msg_servers else "message server"
            yield Fault(
                f"{app.name} is granted {port.name} on {port.msg_server}, and there is no such {kind}",
                app,
                access.where,
            )
