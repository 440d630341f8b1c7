"""Questions are answered with a path that proves it, and the answers agree with a brute-force model."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kos.assurance import AssuranceError, check
from kos.assurance.facts import Facts
from kos.assurance.query import QUESTIONS, ask, diff
from kos.assurance.query.reach import path_between, reachers_of_app
from kos.manifest import App, Context, Manifest, PythonImage, codec
from tests.assurance.bad.debug import release_with_a_remote_shell
from tests.assurance.bad.routing import ordinary_app_with_the_key_store
from tests.assurance.world import World, clean

some = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def manifest(world: World) -> Manifest:
    return codec.load(json.dumps(world.manifest).encode())


def subjects(world: World, *question: str) -> dict[str, str]:
    """Subject → group of the lines of an answer."""
    return {line.subject: line.group for line in ask(manifest(world), *question).lines}


def test_who_can_reach_an_app():
    found = subjects(clean(), "who-can-reach", "log_server")
    assert found["station"] == found["tunnel"] == found["admin"] == "directly"
    assert found["sensor"] == "through others"
    assert "i2c2_server" not in found


def test_who_can_reach_a_port():
    found = subjects(clean(), "who-can-reach", "kos_i2c2_protocol")
    assert found == {"sensor": "directly"}


def test_who_can_reach_a_key():
    assert subjects(clean(), "who-can-reach", "key:server") == {"admin": "directly"}
    found = subjects(clean(), "who-can-reach", "key:tunnel")
    # Whoever uses the tunnel makes it use its key; the key store asks which app calls, so nobody else does.
    assert found["tunnel"] == "directly"
    assert found["station"] == found["sensor"] == "through others"


def test_a_path_is_proved():
    (line,) = ask(manifest(clean()), "path", "sensor", "ethernet").lines
    assert line.path == (
        "sensor",
        "weather_protocol",
        "station",
        "kos_internet_protocol",
        "tunnel",
        "kos_ethernet_protocol",
        "ethernet",
    )
    assert ask(manifest(clean()), "path", "ethernet", "sensor").lines == ()


def test_what_an_app_can_do():
    text = ask(manifest(clean()), "what-can", "admin").render()
    assert "public and sign with key server" in text
    assert "call log_server over kos_log_protocol" in text
    assert "reach ethernet through tunnel" in text
    tunnel = ask(manifest(clean()), "what-can", "tunnel").render()
    assert "hold network" in tunnel
    assert "answer admin, station on kos_internet_protocol" in tunnel
    assert "send to tcp 10.90.0.1 4182" in ask(manifest(clean()), "what-can", "station").render()


def test_the_difference_of_two_releases():
    new = clean()
    ordinary_app_with_the_key_store(new)
    release_with_a_remote_shell(new)
    new.app("sensor")["memory"] *= 2
    del new.app("station")["access"]["msg0"]["kos_log_protocol"]
    lines = {(line.group, line.text) for line in diff(manifest(clean()), manifest(new)).lines}
    assert ("authority gained", "sensor may call key_store over kos_key_store_protocol on msg0") in lines
    assert ("authority gained", "sensor may sign with key server") in lines
    assert ("authority gained", "option remote_shell is True instead of False") in lines
    assert ("authority gained", "sensor has memory 134217728 instead of 67108864") in lines
    assert ("authority lost", "station may no longer call log_server over kos_log_protocol on msg0") in lines
    assert diff(manifest(clean()), manifest(clean())).lines == ()


def test_the_difference_turned_round_is_the_opposite():
    new = clean()
    ordinary_app_with_the_key_store(new)
    there = diff(manifest(clean()), manifest(new)).lines
    back = diff(manifest(new), manifest(clean())).lines
    count = [sum(line.group == group for line in lines) for lines in (there, back) for group in
             ("authority gained", "authority lost")]  # fmt: skip
    assert count[0] == count[3] > 0
    assert count[1] == count[2] == 0


def test_code_that_changed_is_no_new_authority():
    new = clean()
    new.app("sensor")["image"]["sha256"] = "e" * 64
    (line,) = diff(manifest(clean()), manifest(new)).lines
    assert (line.text, line.group) == ("sensor runs other code", "changed without new authority")


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_answer_draws_itself(question: str):
    words = {"who-can-reach": ["log_server"], "what-can": ["station"], "path": ["sensor", "ethernet"]}[
        question
    ]
    answer = ask(manifest(clean()), question, *words)
    tree = ElementTree.fromstring(answer.render("svg"))
    assert tree.tag.endswith("svg")
    assert json.loads(answer.render("json"))["lines"]
    with pytest.raises(AssuranceError, match="no answer as 'pdf'"):
        answer.render("pdf")


def test_a_drawing_escapes_names():
    from kos.assurance.query.draw import draw

    assert "<script>" not in draw([("a", "<script>", "b")], "<script>")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("why",), "no question 'why'"),
        (("path", "sensor"), "takes 2 names, 1 were given"),
        (("path", "sensor", "ghost"), "no app 'ghost'"),
        (("what-can", "ghost"), "no app 'ghost'"),
        (("who-can-reach", "ghost"), "no app, port or key 'ghost'"),
        (("who-can-reach", "key:ghost"), "no key 'ghost'"),
        (("who-can-reach", "app:weather_protocol"), "no app 'weather_protocol'"),
    ],
)
def test_a_wrong_question_is_refused(question: tuple[str, ...], message: str):
    with pytest.raises(AssuranceError, match=message):
        ask(manifest(clean()), *question)


# --- properties ---------------------------------------------------------------------------------------------

NAMES = ["a", "b", "c", "d", "e"]
Grants = frozenset[tuple[str, str]]
# (client, server) pairs; each server has one port of its own.
grants = st.frozensets(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1])
)


def system(pairs: Grants, order: list[str] | None = None) -> Manifest:
    ctx = Context("random").put_msg_server("msg0")
    for name in order or NAMES:
        ctx = ctx.put_port(f"{name}_protocol", "msg0").put_app(App(name, PythonImage(name), where="s.py:1"))
    for name in order or NAMES:
        ctx = ctx.serve_protocol(name, f"{name}_protocol", "msg0")
    for client, server in sorted(pairs, key=lambda p: (order or NAMES).index(p[0])):
        ctx = ctx.connect_protocol(client, f"{server}_protocol", "msg0")
    return ctx.manifest()


def brute_force(pairs: Grants) -> Grants:
    """The transitive closure, the slow and obvious way (Warshall)."""
    reach = set(pairs)
    for middle, start, end in itertools.product(NAMES, repeat=3):
        if (start, middle) in reach and (middle, end) in reach:
            reach.add((start, end))
    return frozenset((start, end) for start, end in reach if start != end)


@some
@given(grants)
def test_reachability_agrees_with_brute_force(pairs: Grants):
    facts = Facts(system(pairs))
    expected = brute_force(pairs)
    for start, end in itertools.permutations(NAMES, 2):
        path = path_between(facts, start, end)
        assert (path is not None) == ((start, end) in expected)
        assert (start in reachers_of_app(facts, end)) == ((start, end) in expected)
        if path:
            steps = list(zip(path[::2], path[2::2], strict=False))
            assert (path[0], path[-1]) == (start, end)
            assert all(step in pairs for step in steps), "a proof uses only what was granted"


@some
@given(grants, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_a_grant_more_never_reaches_less(pairs: Grants, client: str, server: str):
    before = Facts(system(pairs))
    more = pairs | {(client, server)} if client != server else pairs
    after = Facts(system(more))
    for name in NAMES:
        assert reachers_of_app(before, name).keys() <= reachers_of_app(after, name).keys()


@some
@given(grants, st.permutations(NAMES))
def test_the_order_of_the_manifest_never_changes_a_finding(pairs: Grants, order: list[str]):
    def found(manifest: Manifest) -> list[tuple[str, str, str | None]]:
        return [(f.rule.id, f.message, f.app) for f in check(manifest).findings]

    assert found(system(pairs)) == found(system(pairs, order))
