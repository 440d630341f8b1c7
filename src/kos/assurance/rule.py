"""A rule: what it finds, why that matters, what to do about it, and the function that looks.

A rule is pure. It yields a `Fault` for each thing wrong and nothing where nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

from kos.assurance.standards import ETSI_NAME, IEC_NAME, NIST_NAME, Source, cite
from kos.manifest import App


class Severity(IntEnum):
    """How bad it is when the fault is real."""

    LOW = 1  # untidy; makes a later mistake more likely
    MEDIUM = 2  # weakens a defence or the device's availability
    HIGH = 3  # a defence is missing, or the system will fail
    CRITICAL = 4  # an app or an outsider can take over the device

    @property
    def word(self) -> str:
        return self.name.lower()


class Depth(Enum):
    """What a rule looks at."""

    MANIFEST = "manifest"
    IMAGE = "image"
    RUNNING = "running"


class Profile(Enum):
    """What the system is about to be used for. Some faults are no faults during development."""

    DEVELOPMENT = "development"
    RELEASE = "release"


BOTH = (Profile.DEVELOPMENT, Profile.RELEASE)
RELEASE_ONLY = (Profile.RELEASE,)


def etsi(*provisions: str) -> tuple[str, ...]:
    """Provisions of ETSI EN 303 645, as V2.1.1 (2020-06) numbers them."""
    return cite(ETSI_NAME, "provisions " if len(provisions) > 1 else "provision ", provisions)


def iec(*requirements: str) -> tuple[str, ...]:
    """Component requirements of IEC 62443-4-2:2019, such as `CR 7.7`."""
    return cite(IEC_NAME, "", requirements)


def nist(*capabilities: str) -> tuple[str, ...]:
    """Capabilities of the catalog in NIST SP 800-213A."""
    return cite(NIST_NAME, "", capabilities)


def practice(text: str) -> tuple[str, ...]:
    """The practice that a rule comes from, where no standard says it."""
    return (Source(text),)


@dataclass(frozen=True)
class Fault:
    """One thing wrong.

    Attributes:
        message: what was found, naming apps and ports; one sentence without a full stop.
        app: whose fault it is, for the score of that app; None where it is the system's.
        where: `file:line` of the user's manifest; empty takes the app's.
        fix: the next step where the rule's own words are too general.
    """

    message: str
    app: App | str | None = None
    where: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule. Make one with `@rule(…)` over the function that looks at `Facts`.

    Attributes:
        id: words joined by `-`, the same as the file's name.
        severity: of every fault that it finds.
        title: the fault in a sentence.
        looks_at: which part of the system decides it.
        why: what goes wrong when it is left as it is.
        sources: clauses of standards, or the practice, that it comes from.
        fix: what to do.
        profiles: the profiles in which it applies.
        depth: what it looks at; without an image or a running system, rules about those are not run.
        needs: attributes of `Board` without which it cannot judge.
        group: the folder that it is in.
        look: the function; called with the `Facts`.
    """

    id: str
    severity: Severity
    title: str
    looks_at: str
    why: str
    sources: tuple[str, ...]
    fix: str
    profiles: tuple[Profile, ...]
    depth: Depth
    needs: tuple[str, ...]
    group: str
    look: Callable[[Any], Iterable[Fault]]


def rule(
    id: str,
    severity: Severity,
    title: str,
    *,
    looks_at: str,
    why: str,
    sources: tuple[str, ...],
    fix: str,
    profiles: tuple[Profile, ...] = BOTH,
    depth: Depth = Depth.MANIFEST,
    needs: tuple[str, ...] = (),
    group: str | None = None,
) -> Callable[[Callable[[Any], Iterable[Fault]]], Rule]:
    """Turn a function into a `Rule`; the arguments are the rule's attributes.

    `group` is the name of the folder for our own rules; a plug-in names one of its own.
    """

    def made(look: Callable[[Any], Iterable[Fault]]) -> Rule:
        package = look.__module__.split(".")[-2] if "." in look.__module__ else "plug-in"
        return Rule(
            id,
            severity,
            title,
            looks_at,
            why,
            sources,
            fix,
            profiles,
            depth,
            needs,
            group or package,
            look,
        )

    return made
