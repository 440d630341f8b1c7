"""A port for tests, in a release."""

import re
from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule

_TEST = re.compile(r"(?:^|_)(?:test|debug|dbg|mock|fake|inject|backdoor)(?:_|$)")


@rule(
    "test-port",
    Severity.HIGH,
    "A release has a port for tests or debugging",
    looks_at="the names of declared ports",
    why="A test port exists to do what the real interface forbids.",
    sources=(*etsi("5.6-1", "5.6-5"), *iec("CR 7.7")),
    fix="put it only where ctx.config says that this is a development build",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    for port in facts.ports:
        if _TEST.search(port.name):
            servers = facts.servers.get(port, [])
            app, where = (servers[0][0], servers[0][1].where) if servers else (None, "")
            yield Fault(f"port {port.name} on {port.msg_server} is for tests by its name", app, where)
