"""Addresses behind the tunnel that are missing, foreign or impossible."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule
from kos.manifest.tunnel_ips import tunnel_ips_problems


@rule(
    "tunnel-address",
    Severity.HIGH,
    "The tunnel's addresses do not fit the apps",
    looks_at=(
        "tunnel_ips against the apps that are connected to kos_internet_protocol, as check_tunnel_ips does"
    ),
    why=(
        "The address is how the far end tells apps apart. Without one an app has no network; with another's, "
        "it is taken for that app."
    ),
    sources=iec("CR 1.2", "CR 5.1", "CR 7.6"),
    fix="set_kos_options(tunnel_ips={app: TunnelIp(address, mask, gateway)})",
)
def check(facts: Facts) -> Iterator[Fault]:
    if any(name not in facts.apps for name in facts.options.tunnel_ips):
        return  # the rule undeclared-app says so
    for problem in tunnel_ips_problems(facts.manifest):
        yield Fault(problem.message, problem.app or None, problem.where)
