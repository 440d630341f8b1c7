"""A setting names an app that does not exist."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule
from kos.assurance.settings import table

# Service → keys of its configuration that are maps by app.
_BY_APP = {"i2c": ("devices",), "keystore": ("access",), "tunnel": ("allow",)}


@rule(
    "undeclared-app",
    Severity.HIGH,
    "A setting names an app that is not in the system",
    looks_at="tunnel_ips and those settings of core services that are listed by app",
    why="The permission waits for whoever takes that name: an app added later inherits it without a review.",
    sources=iec("CR 2.1", "CR 7.6"),
    fix="correct the name, or remove the entry",
)
def check(facts: Facts) -> Iterator[Fault]:
    for name in facts.options.tunnel_ips:
        if name not in facts.apps:
            yield Fault(f"tunnel_ips has an address for {name}, and there is no such app")
    for service, keys in _BY_APP.items():
        for app in facts.service(service):
            for key in keys:
                for name in table(app.config.get(key)):
                    if name not in facts.apps:
                        yield Fault(f"{app.name} has {key} for {name}, and there is no such app", app)
