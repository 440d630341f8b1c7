"""Nothing slows this client down."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, nist, rule


@rule(
    "unpaced-client",
    Severity.MEDIUM,
    "A more urgent server has a client that nothing slows down",
    looks_at="clients that only send, of servers with a higher priority",
    why=(
        "A client that waits for answers is slowed down by them. One that only sends can keep the server "
        "busy, and with it everything less urgent than the server from running."
    ),
    sources=(*iec("CR 7.1", "CR 7.2"), *nist("Device Security: Secure Resource Usage")),
    fix="let the client wait for answers, or give the server no more than the client's priority",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, client, used, server, _ in facts.connections:
        if not used.blocking and server.priority > client.priority:
            yield Fault(
                f"{client.name} only sends to {server.name}, which is more urgent "
                f"({server.priority} over {client.priority}), over {port.name}",
                client,
                used.where,
            )
