"""A secret in the manifest."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.assurance.secrets import is_default, named_secret, shape_of


@rule(
    "literal-secret",
    Severity.CRITICAL,
    "A secret is written into the manifest",
    looks_at=(
        "configuration, environment and arguments: text with the shape of a secret, or under a name that says"
        " so"
    ),
    why=(
        "The manifest is the same on every device and is read by everyone who builds, reviews or updates one:"
        " a secret in it is a secret of nobody."
    ),
    sources=(*etsi("5.4-3", "5.1-1"), *iec("CR 1.5", "CR 4.1")),
    fix="provision it for each device and keep it in the key store",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, path, name, text in facts.texts:
        what = shape_of(text)
        if what is None and named_secret(name, text) and not is_default(text):
            what = f"a secret by the name {name}"
        if what:
            yield Fault(f"{app.name} has {what} in {path}", app)
