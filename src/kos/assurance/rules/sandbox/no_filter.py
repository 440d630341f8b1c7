"""An app runs without its system-call filter."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "no-filter",
    Severity.CRITICAL,
    "An app runs without a system-call allowlist, or with another than was built",
    looks_at="the seccomp mode, default action and program of each running app",
    why=(
        "The filter is what keeps an app from most of the kernel. None at all, or one that lists what is "
        "forbidden, leaves every call that nobody thought of."
    ),
    sources=(*etsi("5.6-6", "5.6-7"), *iec("CR 7.7", "EDR 3.2")),
    fix="restart the app under the supervisor; if the filter still differs, the runtime was changed",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, app in facts.running.sandboxes:
        if app.seccomp != "filter":
            yield Fault(f"{name} runs without a system-call filter", name)
        elif app.default == "allow":
            yield Fault(f"{name} runs under a filter that lets through what it does not list", name)
        elif None not in (app.filter, app.expected.filter) and app.filter != app.expected.filter:
            yield Fault(f"{name} runs under another filter than was built for it", name)
