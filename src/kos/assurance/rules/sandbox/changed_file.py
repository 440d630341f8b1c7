"""What runs is not what was built."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "changed-file",
    Severity.CRITICAL,
    "A file that an app runs differs from the image",
    looks_at="digests of the files of each running app against those of its image",
    why="The signature covers the image. A file that changed after the check is code that nobody signed.",
    sources=(*etsi("5.7-1", "5.7-2"), *iec("CR 3.4", "EDR 3.14")),
    fix="install the generation again, and find out who could write there",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, app in sorted(facts.running.apps.items()):
        expected = app.expected.files
        for path, digest in sorted(app.files.items()):
            if path in expected and expected[path] != digest:
                yield Fault(f"{name} runs {path}, which was changed", name)
            elif expected and path not in expected:
                yield Fault(f"{name} runs {path}, which is not in its image", name)
        for path in sorted(expected.keys() - app.files.keys()) if app.files else ():
            yield Fault(f"{name} runs without {path}, which is in its image", name)
