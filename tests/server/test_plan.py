"""Rollout decisions: whatever devices do, the plan's promises hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi.errors import KosError
from kos.server.fleet import plan as rules
from kos.server.fleet.plan import Member, Observed, Plan, advance

pytestmark = pytest.mark.group("server")

FATES = st.sampled_from(["healthy", "reverted", "failed", "silent"])


def simulate(
    plan: Plan, fates: list[str], steps: int = 4000
) -> tuple[rules.Decision, dict[str, Member], list[int]]:
    """Devices with known fates go through a rollout, one event a second."""
    names = rules.order(1, [f"d{number}" for number in range(len(fates))])
    phases = rules.phases_of(plan, len(names))
    fate = dict(zip(names, fates, strict=True))
    members = {name: Member(name, phase, rules.PENDING) for name, phase in zip(names, phases, strict=True)}
    state, phase, phase_at, at, busiest = rules.RUNNING, 0, 0.0, 0.0, []
    decision = rules.Decision(state, phase)
    for _ in range(steps):
        decision = advance(plan, state, phase, phase_at, list(members.values()), at)
        assert set(decision.offer) <= {n for n, m in members.items() if m.state == rules.PENDING}
        for name in decision.offer:
            assert members[name].phase <= decision.phase
            members[name] = Member(name, members[name].phase, rules.OFFERED, at)
        for name in decision.time_out:
            members[name] = Member(name, members[name].phase, rules.TIMED_OUT, members[name].offered_at)
        busiest.append(sum(member.state in rules.UNDER_WAY for member in members.values()))
        if decision.phase_began:
            phase_at = at
        state, phase = decision.state, decision.phase
        if state in rules.ENDED:
            break
        for name, member in members.items():
            if member.state == rules.OFFERED and fate[name] != "silent" and at > (member.offered_at or 0):
                seen = Observed(1, fate[name], fate[name] == "healthy")
                members[name] = Member(
                    name, member.phase, rules.observe(member.state, 1, seen), member.offered_at
                )
                break
        at += 1.0
    return decision, members, busiest


@settings(max_examples=150, deadline=None)
@given(
    fates=st.lists(FATES, min_size=1, max_size=40),
    shares=st.lists(st.integers(1, 100), min_size=1, max_size=4),
    parallel=st.integers(0, 5),
    max_failures=st.none() | st.integers(1, 5),
    rate=st.none() | st.floats(0.05, 1.0),
)
def test_promises(fates, shares, parallel, max_failures, rate) -> None:
    plan = Plan(
        phases=tuple(f"{share}%" for share in sorted(shares)),
        parallel=parallel,
        max_failures=max_failures,
        max_failure_rate=rate,
        device_timeout=30.0,
    )
    decision, members, busiest = simulate(plan, fates)
    failed = sum(member.state in rules.FAILURES for member in members.values())
    assert decision.state in (rules.DONE, rules.STOPPED), "it always ends"
    if parallel:
        assert max(busiest) <= parallel
    if decision.state == rules.DONE:
        assert all(member.state in rules.FINISHED for member in members.values())
        assert max_failures is None or failed < max_failures
    else:
        assert failed, "it never stops without a failure"
    if all(fate == "healthy" for fate in fates):
        assert decision.state == rules.DONE and not failed


def test_a_phase_waits_for_the_one_before() -> None:
    plan = Plan(phases=("1", "100%"), soak=100.0)
    members = [Member("a", 0, rules.HEALTHY, 0.0), Member("b", 1, rules.PENDING)]
    assert advance(plan, rules.RUNNING, 0, 0.0, members, 99.0).offer == ()
    later = advance(plan, rules.RUNNING, 0, 0.0, members, 100.0)
    assert later.phase == 1 and later.offer == ("b",)


@pytest.mark.parametrize(
    ("window", "minute", "expected"),
    [((60, 120), 90, True), ((60, 120), 120, False), ((1380, 60), 30, True), ((1380, 60), 700, False)],
    ids=["inside", "at-the-end", "over-midnight", "outside-over-midnight"],
)
def test_offers_only_in_the_window(window, minute, expected) -> None:
    plan = Plan(window=window)
    decision = advance(plan, rules.RUNNING, 0, 0.0, [Member("a", 0, rules.PENDING)], minute * 60.0)
    assert bool(decision.offer) is expected


def test_only_the_device_makes_itself_healthy() -> None:
    assert rules.observe(rules.BOOTED, 7, Observed(7, "healthy", False)) == rules.BOOTED
    assert rules.observe(rules.BOOTED, 7, Observed(6, "healthy", True)) == rules.BOOTED
    assert rules.observe(rules.TIMED_OUT, 7, Observed(7, "healthy", True)) == rules.TIMED_OUT
    assert rules.observe(rules.BOOTED, 7, Observed(7, "healthy", True)) == rules.HEALTHY


def test_whose_words_were_not_read_yet_is_not_silent() -> None:
    plan, members = Plan(phases=("100%",), device_timeout=60), [Member("a", 0, rules.BOOTED, 0.0)]
    decided = [
        advance(plan, rules.RUNNING, 0, 0.0, members, 1000.0, heard).time_out for heard in (59.0, 61.0)
    ]
    assert decided == [(), ("a",)]


def test_a_busy_device_waits() -> None:
    members = [Member("a", 0, rules.PENDING, None, free=False), Member("b", 0, rules.PENDING)]
    assert advance(Plan(phases=("100%",)), rules.RUNNING, 0, 0.0, members, 0.0).offer == ("b",)


@pytest.mark.parametrize(
    "options",
    [
        {"phases": ()},
        {"phases": ("50%", "10%")},
        {"phases": ("0%",)},
        {"phases": ("101%",)},
        {"phases": ("some",)},
        {"phases": ("1",) * (rules.PHASES_MAX + 1)},
        {"parallel": -1},
        {"max_failure_rate": 0.0},
        {"max_failures": 0},
        {"device_timeout": 0},
        {"window": (0, rules.DAY_MINUTES + 1)},
    ],
    ids=str,
)
def test_a_wrong_plan_is_refused(options) -> None:
    with pytest.raises(KosError):
        Plan(**options)


def test_steps_of_people() -> None:
    assert rules.step(rules.PAUSED, "resume") == rules.RUNNING
    with pytest.raises(KosError, match="done cannot be paused"):
        rules.step(rules.DONE, "pause")
    with pytest.raises(KosError, match="no such action"):
        rules.step(rules.RUNNING, "explode")
