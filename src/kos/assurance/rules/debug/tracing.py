"""Tracing, in a release."""

from collections.abc import Iterator

from kos.abi import services
from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "tracing",
    Severity.MEDIUM,
    "A release traces messages",
    looks_at="the option tracing, the apps that are connected to the trace server and those that may read it",
    why=(
        "Even without payloads, a trace shows who speaks to whom and when; and it costs time on every "
        "message."
    ),
    sources=(*etsi("5.6-5"), *iec("CR 7.7")),
    fix="Poukai() without tracing, or set_kos_options(tracing=False)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.tracing:
        clients = {services.PORT_TRACE: [], services.PORT_TRACE_ADMIN: []}
        for app, port, access in facts.manifest.grants():
            if access.role == "client" and port.name in clients:
                clients[port.name].append(app.name)
        traced, readers = (", ".join(sorted(names)) or "no app" for names in clients.values())
        yield Fault(
            f"the option tracing is on: it traces {traced}; the trace is read by the supervisor and {readers}"
        )
