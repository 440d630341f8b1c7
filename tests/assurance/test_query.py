"""Questions are answered with a path that proves it, and the answers agree with a brute-force model."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kos.assurance import AssuranceError, check
from kos.assurance.facts import Facts
from kos.assurance.query import QUESTIONS, ask, diff
from kos.assurance.query.reach import path_between, reachers_of_app, reachers_of_key, reachers_of_port
from kos.manifest import AccessControl, App, Context, Manifest, PythonImage, ServiceImage, codec
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


def test_an_app_that_is_opened_to_people_is_told():
    new = clean()
    new.app("sensor")["debug"] = new.app("station")["debug"] = True
    assert diff(manifest(clean()), manifest(new)).lines == ()
    new.manifest["options"]["debugger"] = True
    lines = {(line.group, line.text) for line in diff(manifest(clean()), manifest(new)).lines}
    assert ("authority gained", "sensor may be opened by a debugger") in lines
    assert not any("station may be opened" in text for _, text in lines)
    assert "be opened by a debugger" in ask(manifest(new), "what-can", "sensor").render()
    new.manifest["options"] |= {"debugger": False, "remote_shell": True}
    assert "be opened by a shell" in ask(manifest(new), "what-can", "station").render()
    assert "opened by" not in ask(manifest(new), "what-can", "sensor").render()


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


def test_what_was_lost_is_dashed():
    new = clean()
    ordinary_app_with_the_key_store(new)
    del new.app("station")["access"]["msg0"]["kos_log_protocol"]
    picture = diff(manifest(clean()), manifest(new)).render("svg")
    assert picture.count('class="arrow gone"') == 1 < picture.count('class="arrow')


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
SERVERS = ["msg0", "msg1"]


@dataclass(frozen=True)
class Wild:
    """A random system: who calls whom on which message server, who only sends, and how urgent each app is.

    Each app serves one port of its own on each message server. `keys` are apps that may use a key.
    """

    calls: frozenset[tuple[str, str, str]]
    only_sends: frozenset[tuple[str, str, str]]
    priorities: tuple[int, ...]
    critical: frozenset[str]
    keys: frozenset[str]

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset((client, server) for client, server, _ in self.calls)

    def manifest(self, names: Sequence[str] = NAMES, servers: Sequence[str] = SERVERS) -> Manifest:
        """The system, put together in the order of the names."""
        ctx = Context("random")
        for server in servers:
            ctx = ctx.put_msg_server(server)
        ctx = ctx.put_port("kos_key_store_protocol", "msg0")
        for name in names:
            ctx = ctx.put_app(
                App(
                    name,
                    PythonImage(name),
                    priority=self.priorities[NAMES.index(name)],
                    critical=name in self.critical,
                    where=f"s.py:{NAMES.index(name)}",
                )
            )
        for server, name in itertools.product(servers, names):
            port = f"{name}_{server}_protocol"
            ctx = ctx.put_port(port, server).serve_protocol(name, port, server)
        order = {name: place for place, name in enumerate([*names, *servers])}
        for client, name, server in sorted(self.calls, key=lambda call: [order[part] for part in call]):
            access = AccessControl.client(blocking=(client, name, server) not in self.only_sends)
            ctx = ctx.connect_protocol(client, f"{name}_{server}_protocol", server, access)
        keys = {name: {"server": ["sign"]} for name in self.keys}
        ctx = ctx.put_app(
            App("store", ServiceImage("kos.services.keystore.main:main"), config={"access": keys})
        ).serve_protocol("store", "kos_key_store_protocol", "msg0")
        for name in [name for name in names if name in self.keys]:
            ctx = ctx.connect_protocol(name, "kos_key_store_protocol", "msg0")
        return ctx.manifest()


_call = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(SERVERS)).filter(
    lambda call: call[0] != call[1]
)
_few = st.frozensets(st.sampled_from(NAMES), max_size=3)
wild = st.builds(
    lambda calls, sends, priorities, critical, keys: Wild(
        calls, frozenset(sorted(calls)[: sends % (len(calls) + 1)]), tuple(priorities), critical, keys
    ),
    st.frozensets(_call, max_size=12),
    st.integers(0, 12),
    st.lists(st.integers(0, 3), min_size=len(NAMES), max_size=len(NAMES)),
    _few,
    _few,
)


def brute_force(pairs: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The transitive closure, the slow and obvious way (Warshall)."""
    reach = set(pairs)
    for middle, start, end in itertools.product(NAMES, repeat=3):
        if (start, middle) in reach and (middle, end) in reach:
            reach.add((start, end))
    return frozenset((start, end) for start, end in reach if start != end)


def is_granted(system: Wild, path: tuple[str, ...]) -> bool:
    """Whether a proof uses only what was granted, port for port."""
    steps = zip(path[::2], path[1::2], path[2::2], strict=False)
    return all(any((a, b, server) in system.calls and port == f"{b}_{server}_protocol" for server in SERVERS)
               for a, port, b in steps)  # fmt: skip


@some
@given(wild)
def test_reachability_of_apps_agrees_with_brute_force(system: Wild):
    facts = Facts(system.manifest())
    expected = brute_force(system.pairs)
    for start, end in itertools.permutations(NAMES, 2):
        path = path_between(facts, start, end)
        assert (path is not None) == ((start, end) in expected)
        assert (start in reachers_of_app(facts, end)) == ((start, end) in expected)
        if path:
            assert (path[0], path[-1]) == (start, end)
            assert is_granted(system, path)


@some
@given(wild)
def test_reachability_of_ports_and_keys_agrees_with_brute_force(system: Wild):
    facts = Facts(system.manifest())
    closure = brute_force(system.pairs)
    for name, server in itertools.product(NAMES, SERVERS):
        direct = {client for client, target, where in system.calls if (target, where) == (name, server)}
        expected = direct | {start for start, end in closure if end in direct}
        found = reachers_of_port(facts, f"{name}_{server}_protocol")
        assert set(found) == expected
        assert all(is_granted(system, path) and path[0] == app for app, path in found.items())
    expected = system.keys | {start for start, end in closure if end in system.keys}
    found = reachers_of_key(facts, "server")
    assert set(found) == expected
    assert all(path[-1] == "key:server" and is_granted(system, path[:-2]) for path in found.values())


@some
@given(wild, _call)
def test_a_grant_more_never_reaches_less(system: Wild, call: tuple[str, str, str]):
    before = Facts(system.manifest())
    after = Facts(replace(system, calls=system.calls | {call}).manifest())
    for name in NAMES:
        assert reachers_of_app(before, name).keys() <= reachers_of_app(after, name).keys()
    for name, server in itertools.product(NAMES, SERVERS):
        port = f"{name}_{server}_protocol"
        assert reachers_of_port(before, port).keys() <= reachers_of_port(after, port).keys()
    assert reachers_of_key(before, "server").keys() <= reachers_of_key(after, "server").keys()


@some
@given(wild, st.permutations(NAMES), st.permutations(SERVERS))
def test_the_order_of_the_manifest_never_changes_a_finding(
    system: Wild, names: list[str], servers: list[str]
):
    def found(manifest: Manifest) -> list[tuple[str, str, str | None, str]]:
        return [(f.rule.id, f.message, f.app, f.where) for f in check(manifest).findings if f.app]

    plain, turned = system.manifest(), system.manifest(names, servers)
    assert found(plain) == found(turned)
    assert [f.message for f in check(plain).findings] == [f.message for f in check(turned).findings]
