"""`check_tunnel_ips`: every app with a network has an address of its own, and nobody else has one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from kos.device.network.plan import AppPlan, NetworkPlan, plan_network
from kos.device.network.rules import outer_addresses, render
from kos.manifest import App, Context, Manifest, ManifestError, PythonImage, System, TunnelIp
from kos.manifest.tunnel_ips import Allow, check_tunnel_ips, parse_allow, parse_settings, tunnel_ips_problems
from kos.systems import MqttRelay, Poukai

MASK, GATEWAY = "255.255.0.0", "10.90.0.1"


def manifest(
    addresses: dict[str, TunnelIp], connected: tuple[str, ...] = ("a", "b"), **tunnel: object
) -> Manifest:
    class Example(System):
        base = Poukai(tunnel=True, tunnel_config=dict(tunnel))

        def setup(self, ctx: Context) -> Context:
            for name in ("a", "b", "c"):
                ctx = ctx.put_app(App(name, PythonImage("apps/x")))
                if name in connected:
                    ctx = ctx.connect_protocol(name, Poukai.internet)
            return ctx.set_kos_options(tunnel_ips=addresses)

    return Example().manifest("host")


def ip(address: str, mask: str = MASK, gateway: str = GATEWAY) -> TunnelIp:
    return TunnelIp(address, mask, gateway)


GOOD = {"a": ip("10.90.1.2"), "b": ip("10.90.1.3")}


def test_a_good_one():
    check_tunnel_ips(manifest(GOOD))


@pytest.mark.parametrize(
    ("addresses", "problem"),
    [
        ({"a": ip("10.90.1.2")}, "app b is connected to kos_internet_protocol and has no address"),
        ({**GOOD, "c": ip("10.90.1.4")}, "c is not connected to kos_internet_protocol"),
        ({"a": ip("10.90.1.2"), "b": ip("10.90.1.2")}, "b and a have the same address 10.90.1.2"),
        ({**GOOD, "b": ip("10.91.1.3")}, "the gateway 10.90.0.1 of b is foreign to its network 10.91.0.0/16"),
        ({**GOOD, "b": ip("10.90.0.1")}, "b has the address 10.90.0.1 of a gateway"),
        ({**GOOD, "b": ip("10.90.255.255")}, "10.90.255.255, which no host can have"),
        ({**GOOD, "b": ip("127.0.0.2", "255.0.0.0", "127.0.0.1")}, "127.0.0.2, which is none for a host"),
        ({**GOOD, "b": ip("10.90.1.3", "255.0.255.0")}, "'255.0.255.0' is not a mask"),
    ],
    ids=["missing", "unconnected", "duplicate", "foreign", "gateway's", "broadcast", "loopback", "mask"],
)
def test_a_bad_one(addresses, problem):
    found = manifest(addresses)
    assert any(problem in each.message for each in tunnel_ips_problems(found))
    with pytest.raises(ManifestError, match="tunnel_ips"):
        check_tunnel_ips(found)


def test_the_plan_says_who_gets_what():
    plan = plan_network(manifest(GOOD, allow={"a": ["tcp 10.90.0.1 80"]}, tunnel_settings={"dns": GATEWAY}))
    assert plan is not None
    assert plan.apps == (
        AppPlan("a", "10.90.1.2/16", GATEWAY, (("tcp", "10.90.0.1/32", 80),)),
        AppPlan("b", "10.90.1.3/16", GATEWAY, None),
    )
    assert plan.roles == {"ethernet": "ethernet", "tunnel": "tunnel"} and plan.dns == GATEWAY
    assert NetworkPlan.from_json(plan.to_json()) == plan


def test_no_tunnel_no_plan():
    class Alone(System):
        base = Poukai

    assert plan_network(Alone().manifest("host")) is None


def test_an_app_that_only_publishes_has_a_loopback_only():
    class Publisher(System):
        base = Poukai(tunnel=True)

        def setup(self, ctx: Context) -> Context:
            ctx = ctx.put_app(App("a", PythonImage("apps/x"))).put_app(MqttRelay(server=GATEWAY, apps=["a"]))
            return ctx.set_kos_options(tunnel_ips={"mqtt_relay": ip("10.90.1.2")})

    plan = plan_network(Publisher().manifest("host"))
    assert plan is not None
    assert plan.app("a") == AppPlan("a", "", "") and plan.mqtt == ("a",)
    assert plan.roles["mqtt_relay"] == "mqtt"
    assert "_a " not in render(plan)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("tcp 10.90.0.1 80", Allow("tcp", IPv4Network("10.90.0.1/32"), 80)),
        ("udp 10.90.0.0/16 *", Allow("udp", IPv4Network("10.90.0.0/16"), 0)),
        ("icmp 10.90.0.1", Allow("icmp", IPv4Network("10.90.0.1/32"))),
        ("any 10.90.0.0/16", Allow("any", IPv4Network("10.90.0.0/16"))),
    ],
)
def test_rules(text, rule):
    assert parse_allow(text, "allow.a") == rule


NO_RULES = (
    "",
    "tcp",
    "tcp 10.90.0.1",
    "icmp 10.90.0.1 8",
    "sctp 10.90.0.1 1",
    "tcp x 1",
    "tcp 10.90.0.1 0",
    5,
)
NO_PORTS = ("tcp 10.90.0.1 65536", "tcp 10.90.0.1 1;drop", "any 10.90.0.1/8")


@pytest.mark.parametrize("text", [*NO_RULES, *NO_PORTS])
def test_rules_that_are_none(text):
    with pytest.raises(ManifestError, match=r"allow\.a: "):
        parse_allow(text, "allow.a")


def test_lists_that_are_wrong():
    with pytest.raises(ManifestError, match=r"allow\.c: no such app is connected"):
        plan_network(manifest(GOOD, allow={"c": []}))
    with pytest.raises(ManifestError, match="at most 64 rules"):
        plan_network(manifest(GOOD, allow={"a": ["icmp 10.90.0.1"] * 65}))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"speed": 1}, "unknown 'speed'"),
        ({"peer_endpoint": "gateway"}, "expected HOST:PORT"),
        ({"peer_endpoint": "a:65536"}, "expected HOST:PORT"),
        ({"peer_endpoint": "a" * 261 + ":1"}, "expected HOST:PORT"),
        ({"peer_public_key": "short"}, "44 characters of base64"),
        ({"mtu": 575}, "expected 576 to 9000"),
        ({"keep_alive": 65536}, "expected 0 to 65535"),
        ({"allowed_ips": []}, "1 to 64 networks"),
        ({"dns": "example.org"}, "expected an IPv4 address"),
    ],
)
def test_settings_that_are_wrong(settings, error):
    with pytest.raises(ManifestError, match=error):
        parse_settings(settings)


def test_a_device_with_addresses_of_its_own():
    plan = plan_network(manifest(GOOD))
    assert plan is not None
    assert outer_addresses(plan, "10.128.7.0/29") == {
        "a": IPv4Address("10.128.7.1"),
        "b": IPv4Address("10.128.7.2"),
    }
    assert "ip saddr 10.90.1.3 snat ip to 10.128.7.2" in render(plan, "10.128.7.0/29")
    with pytest.raises(Exception, match="no room for 2 apps"):
        outer_addresses(plan, "10.128.7.0/32")
