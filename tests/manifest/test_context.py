"""A context composes, never changes, and refuses a wrong name at the line that said it."""

from __future__ import annotations

import inspect

import pytest

from kos.manifest import AccessControl, App, Context, ManifestError, Port, PythonImage, System, model

IMAGE = PythonImage("apps/one")


def base() -> Context:
    return Context("test").put_msg_server("msg0").put_port("a_protocol", "msg0").put_app(App("one", IMAGE))


def line() -> int:
    return inspect.currentframe().f_back.f_lineno


def test_a_context_does_not_change():
    ctx = base()
    before = ctx.manifest()
    ctx.put_app(App("two", IMAGE)).connect_protocol("one", "a_protocol", "msg0").put_port("b", "msg0")
    assert ctx.manifest() == before
    with pytest.raises(TypeError, match="cannot be changed"):
        ctx.apps["one"] = App("one", IMAGE)


def test_connect_grants_the_client_role_and_says_its_line():
    ctx = base().connect_protocol("one", "a_protocol", "msg0")
    access = ctx.apps["one"].access["msg0"]["a_protocol"]
    assert access.role == "client"
    assert access.where == f"test_context.py:{line() - 3}"


def test_a_server_may_be_said_in_three_ways():
    served = AccessControl.server()
    ways = [
        base().serve_protocol("one", "a_protocol", "msg0"),
        base().connect_protocol("one", Port("a_protocol", "msg0"), access=served),
        base().remove_app("one").put_app(App("one", IMAGE, access={"msg0": {"a_protocol": served}})),
    ]
    for ctx in ways:
        assert ctx.manifest().server_of(Port("a_protocol", "msg0")).name == "one"


def test_disconnect_takes_the_grant_back():
    ctx = base().serve_protocol("one", "a_protocol", "msg0").disconnect_protocol("one", "a_protocol", "msg0")
    assert ctx.manifest() == ctx.manifest()
    assert ctx.apps["one"].access == {}
    assert ctx.put_app(App("two", IMAGE)).serve_protocol("two", "a_protocol", "msg0")


def test_removing_a_server_frees_its_port():
    ctx = base().serve_protocol("one", "a_protocol", "msg0").remove_app("one")
    assert ctx.put_app(App("two", IMAGE)).serve_protocol(
        "two", "a_protocol", "msg0"
    ).manifest().apps.keys() == {"two"}


def test_update_keeps_what_it_does_not_name():
    ctx = base().connect_protocol("one", "a_protocol", "msg0").update_app("one", memory=1 << 20)
    assert ctx.apps["one"].memory == 1 << 20
    assert ctx.apps["one"].access["msg0"]["a_protocol"].role == "client"


def test_a_package_puts_what_it_has():
    class Pair:
        def setup(self, ctx: Context, *, second: str = "two") -> Context:
            return ctx.put_app(App(second, IMAGE)).connect_protocol(second, "a_protocol", "msg0")

    assert "three" in base().put_app(Pair(), second="three").apps


def test_layers_compose():
    class Base(System):
        def setup(self, ctx: Context) -> Context:
            return ctx.put_msg_server("msg0").put_port("a_protocol", "msg0")

    class WeatherStation2(System):
        base = Base
        release = "1.2.3"

        def setup(self, ctx: Context) -> Context:
            return ctx.put_app(App("one", IMAGE)).serve_protocol("one", "a_protocol", "msg0")

    manifest = WeatherStation2().manifest("qemu-arm-virt,hyp=on")
    assert manifest.name == "weather_station2"
    assert manifest.release == "1.2.3"
    assert manifest.platform == "qemu-arm-virt,hyp=on"
    assert list(manifest.apps) == ["one"]


def test_an_app_keeps_its_caller_id_when_others_come():
    one = base().manifest()
    three = base().put_app(App("zero", IMAGE)).put_app(App("a", IMAGE)).manifest()
    assert one.caller_id("one") == three.caller_id("one")
    assert len({three.caller_id(name) for name in three.apps}) == 3


def test_names_that_meet_in_one_caller_id_get_different_ones(monkeypatch):
    monkeypatch.setattr(model, "CALLER_IDS", 3)
    manifest = base().put_app(App("zero", IMAGE)).put_app(App("a", IMAGE)).manifest()
    assert sorted(manifest.caller_id(name) for name in manifest.apps) == [0x10000, 0x10001, 0x10002]


BAD = {
    "app_twice": (lambda c: c.put_app(App("one", IMAGE)), "there is an app 'one' already"),
    "app_named_as_server": (lambda c: c.put_app(App("msg0", IMAGE)), "'msg0' is a message server already"),
    "app_reserved": (lambda c: c.put_app(App("supervisor", IMAGE)), "belongs to the platform"),
    "app_bad_name": (lambda c: c.put_app(App("One", IMAGE)), "an app's name"),
    "app_long_name": (lambda c: c.put_app(App("a" * 33, IMAGE)), "33 characters are too many"),
    "app_bad_priority": (lambda c: c.put_app(App("x", IMAGE, priority=256)), "0 to 255, found 256"),
    "app_bad_image": (lambda c: c.put_app(App("x", "apps/x")), "an object with kind"),
    "app_bad_path": (lambda c: c.put_app(App("x", PythonImage("../x"))), "a path inside the project"),
    "app_dangling_port": (
        lambda c: c.put_app(App("x", IMAGE, access={"msg0": {"a_protocal": AccessControl.client()}})),
        "no port 'a_protocal' on msg0\nhint: did you mean 'a_protocol'?",
    ),
    "app_dangling_server": (
        lambda c: c.put_app(App("x", IMAGE, access={"msg9": {"a_protocol": AccessControl.client()}})),
        "no message server 'msg9'",
    ),
    "a_class": (lambda c: c.put_app(App), "App is a class\nhint: put App(…)"),
    "not_an_app": (lambda c: c.put_app("one"), "put_app takes an App"),
    "options_for_an_app": (lambda c: c.put_app(App("x", IMAGE), memory=1), "an App takes no options"),
    "port_twice": (lambda c: c.put_port("a_protocol", "msg0"), "'a_protocol' is on msg0 already"),
    "port_dangling": (lambda c: c.put_port("b", "msg1"), "no message server 'msg1'"),
    "port_without_server": (lambda c: c.put_port("b"), "which message server?"),
    "port_long_name": (lambda c: c.put_port("p" * 65, "msg0"), "65 characters are too many"),
    "msg_server_twice": (lambda c: c.put_msg_server("msg0"), "is a message server already"),
    "connect_dangling_app": (lambda c: c.connect_protocol("on", "a_protocol", "msg0"), "no app 'on'"),
    "connect_dangling_port": (lambda c: c.connect_protocol("one", "zzz", "msg0"), "no port 'zzz'"),
    "connect_twice": (
        lambda c: c.connect_protocol("one", "a_protocol", "msg0").connect_protocol(
            "one", "a_protocol", "msg0"
        ),
        "connected to 'a_protocol' already, as client",
    ),
    "two_servers": (
        lambda c: (
            c.put_app(App("two", IMAGE))
            .serve_protocol("one", "a_protocol", "msg0")
            .serve_protocol("two", "a_protocol", "msg0")
        ),
        "is served by 'one' already",
    ),
    "port_on_another_server": (
        lambda c: c.connect_protocol("one", Port("a_protocol", "msg0"), "msg1"),
        "is on msg0, not on msg1",
    ),
    "not_an_access": (
        lambda c: c.connect_protocol("one", "a_protocol", "msg0", "client"),
        "must be AccessCon",
    ),
    "disconnect_unconnected": (
        lambda c: c.disconnect_protocol("one", "a_protocol", "msg0"),
        "is not connected",
    ),
    "remove_dangling": (lambda c: c.remove_app("two"), "no app 'two'"),
    "update_dangling": (lambda c: c.update_app("two", memory=1), "no app 'two'"),
    "update_unknown": (lambda c: c.update_app("one", colour=1), "no colour to update"),
    "update_name": (lambda c: c.update_app("one", name="x"), "no name to update"),
    "option_unknown": (lambda c: c.set_kos_options(persistant_boot=True), "did you mean 'persistent_boot'?"),
    "option_wrong": (lambda c: c.set_kos_options(persistent_boot="yes"), "expected true or false"),
    "package_returns_nothing": (
        lambda c: c.put_app(type("P", (), {"setup": lambda self, ctx: None})()),
        "setup returned NoneType",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_call_is_refused_at_its_line(fault: str):
    call, message = BAD[fault]
    first = call.__code__.co_firstlineno
    last = first + len(inspect.getsourcelines(call)[0]) + 3
    with pytest.raises(ManifestError) as caught:
        call(base())
    assert message in str(caught.value)
    file, _, number = caught.value.where.rpartition(":")
    assert file == __file__
    assert first <= int(number) <= last


def test_an_app_that_a_tunnel_address_names_must_be_there():
    address = {"address": "10.0.0.2", "mask": "255.255.255.0", "gateway": "10.0.0.1"}
    with pytest.raises(ManifestError, match=r"tunnel_ips\.ghost: no such app"):
        base().set_kos_options(tunnel_ips={"ghost": address}).manifest()
