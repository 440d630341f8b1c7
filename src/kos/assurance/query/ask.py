"""Turn a question and its words into an answer."""

from __future__ import annotations

from collections.abc import Callable

from kos.assurance.errors import AssuranceError
from kos.assurance.facts import Facts
from kos.assurance.query import can, reach
from kos.assurance.query.answer import Answer, Line
from kos.manifest import Manifest


def ask(manifest: Manifest, question: str, *words: str) -> Answer:
    """The answer to one of `QUESTIONS`.

    Raises:
        AssuranceError: an unknown question, the wrong number of words, or a name that is not in the system.
    """
    if question not in QUESTIONS:
        raise AssuranceError(f"there is no question {question!r}", hint="known: " + ", ".join(QUESTIONS))
    usage, answer = QUESTIONS[question]
    expected = usage.split()[1:]
    if len(words) != len(expected):
        raise AssuranceError(f"{question} takes {len(expected)} names, {len(words)} were given", hint=usage)
    return answer(Facts(manifest), *words)


def who_can_reach(facts: Facts, target: str) -> Answer:
    """Apps that can reach an app, a port or a key (`key:NAME`), directly or through others."""
    kind, name = _resolve(facts, target)
    found = {
        "app": reach.reachers_of_app,
        "port": reach.reachers_of_port,
        "key": reach.reachers_of_key,
    }[kind](facts, name)
    lines = []
    for app, path in sorted(found.items(), key=lambda item: (len(item[1]), item[0])):
        direct = len(path) == 3
        through = ", ".join(path[2:-2:2])
        text = f"{app}, by a grant of its own" if direct else f"{app}, through {through}"
        lines.append(Line(text, app, path, "directly" if direct else "through others"))
    return Answer(f"who can reach {kind} {name}", tuple(lines))


def path(facts: Facts, start: str, end: str) -> Answer:
    """A shortest way from one app to another."""
    for name in (start, end):
        _app(facts, name)
    found = reach.path_between(facts, start, end)
    if found is None:
        return Answer(f"path from {start} to {end}", ())
    line = Line(f"{start} can reach {end} in {len(found) // 2} steps", end, found)
    return Answer(f"path from {start} to {end}", (line,))


def what_can(facts: Facts, app: str) -> Answer:
    """Everything that an app is given, and what it can reach through others."""
    _app(facts, app)
    return Answer(f"what can {app} do", tuple(can.powers(facts, app)))


QUESTIONS: dict[str, tuple[str, Callable[..., Answer]]] = {
    "who-can-reach": ("who-can-reach KEY|PORT|APP", who_can_reach),
    "what-can": ("what-can APP", what_can),
    "path": ("path APP APP", path),
}


def _app(facts: Facts, name: str) -> None:
    if name not in facts.apps:
        raise AssuranceError(f"there is no app {name!r}", hint="known: " + ", ".join(facts.apps))


def _resolve(facts: Facts, target: str) -> tuple[str, str]:
    """What a name means: `app:`, `port:` and `key:` say it, else an app before a port before a key."""
    kind, colon, name = target.partition(":")
    known = {
        "app": set(facts.apps),
        "port": {port.name for port in facts.ports},
        "key": set(reach.key_users(facts)),
    }
    if colon and kind in known:
        if name in known[kind]:
            return kind, name
        raise AssuranceError(f"there is no {kind} {name!r}", hint="known: " + ", ".join(sorted(known[kind])))
    for kind, names in known.items():
        if target in names:
            return kind, target
    everything = sorted({name for names in known.values() for name in names})
    raise AssuranceError(f"there is no app, port or key {target!r}", hint="known: " + ", ".join(everything))
