"""A shell into apps, in a release."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, opened_by
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "remote-shell",
    Severity.CRITICAL,
    "A release allows a remote shell",
    looks_at="the option remote_shell, and which apps have debug=True",
    why="It runs any code inside any app, past every check of the build.",
    sources=(*etsi("5.6-1", "5.6-5"), *iec("CR 7.7", "CR 2.1")),
    fix="set_kos_options(remote_shell=False)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.remote_shell:
        open_to = [app.name for app in facts.apps.values() if opened_by(app) == "remote_shell"]
        yield Fault(f"the option remote_shell is on, for {', '.join(sorted(open_to)) or 'no app yet'}")
