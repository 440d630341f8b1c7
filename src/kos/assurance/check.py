"""Run the rules over what is given and make the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from kos.assurance.board import Board
from kos.assurance.facts import Facts
from kos.assurance.finding import Finding
from kos.assurance.image import ImageFacts
from kos.assurance.registry import all_rules
from kos.assurance.report import Report, Skipped
from kos.assurance.rule import Depth, Fault, Profile, Rule
from kos.assurance.running import RunningFacts
from kos.assurance.score import scores
from kos.assurance.waivers import Waiver
from kos.manifest import App, Manifest


def check(
    manifest: Manifest,
    *,
    profile: Profile | str = Profile.RELEASE,
    waivers: Sequence[Waiver] = (),
    board: Board | None = None,
    image: ImageFacts | None = None,
    running: RunningFacts | None = None,
    today: date | None = None,
    rules: Iterable[Rule] | None = None,
) -> Report:
    """Judge a system.

    Args:
        manifest: what it should be, read with `codec.load(…, dangling_ok=True)` so that rules see all.
        profile: `release` is strict; `development` leaves out what is right on a developer's desk.
        waivers: from `parse_waivers`.
        board: the board's limits; without it, rules that need them are skipped and listed.
        image: facts of the built image; without it, the second depth is skipped and listed.
        running: facts of the running system; without it, the third depth is skipped and listed.
        today: the day on which waivers and keys are judged; None takes the clock's.
        rules: None takes all.
    """
    profile = Profile(profile)
    today = today or date.today()
    facts = Facts(manifest, profile, board, tuple(waivers), today, image, running)
    run, skipped, found = [], [], []
    for rule in all_rules() if rules is None else rules:
        reason = _why_not(rule, facts)
        if reason:
            skipped.append(Skipped(rule, reason))
            continue
        run.append(rule)
        found += [_finding(rule, fault, manifest) for fault in rule.look(facts)]
    return _report(manifest, profile, tuple(waivers), today, found, run, skipped)


def _why_not(rule: Rule, facts: Facts) -> str:
    if facts.profile not in rule.profiles:
        return f"does not apply to {facts.profile.value}"
    if missing := [name for name in rule.needs if getattr(facts.board, name, None) is None]:
        return f"needs to know of the board: {', '.join(missing)}"
    if rule.depth is Depth.IMAGE and facts.image is None:
        return "needs a built image"
    if rule.depth is Depth.RUNNING and facts.running is None:
        return "needs a running system"
    return ""


def _finding(rule: Rule, fault: Fault, manifest: Manifest) -> Finding:
    name = fault.app.name if isinstance(fault.app, App) else fault.app
    app = manifest.apps.get(name) if name is not None else None
    where = fault.where or (app.where if app else "") or manifest.where
    return Finding(rule, fault.message, name, where, fault.fix or rule.fix)


def _report(
    manifest: Manifest,
    profile: Profile,
    waivers: tuple[Waiver, ...],
    today: date,
    found: list[Finding],
    run: list[Rule],
    skipped: list[Skipped],
) -> Report:
    open_findings, waived = [], []
    for finding in sorted(found, key=Finding.order):
        waiver = next((w for w in waivers if w.covers(finding) and not w.expired(today)), None)
        if waiver is None:
            open_findings.append(finding)
        else:
            waived.append((finding, waiver))
    return Report(
        system=f"{manifest.name} {manifest.release}",
        platform=manifest.platform,
        profile=profile,
        findings=tuple(open_findings),
        waived=tuple(waived),
        waivers=waivers,
        scores=scores(sorted(manifest.apps), open_findings),
        rules=tuple(run),
        skipped=tuple(skipped),
    )
