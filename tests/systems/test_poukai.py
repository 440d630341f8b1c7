"""Poukai holds the reference's apps and exactly the reference's connections."""

from __future__ import annotations

import pytest

from kos.abi import services
from kos.manifest import App, Context, ManifestError, PythonImage, System, codec
from kos.systems import I2CServer, Poukai

LOG, RNG, KEYS = services.PORT_LOG, services.PORT_RNG, services.PORT_KEY_STORE


def connections(manifest) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {name: set() for name in manifest.apps}
    for app, port, access in manifest.grants():
        if access.role == "client":
            graph[app.name].add(port.name)
    return graph


def test_the_plain_layer():
    manifest = Poukai().manifest()
    assert set(manifest.apps) == {"rng_server", "log_server", "key_store", "self_test"}
    assert connections(manifest) == {
        "rng_server": set(),
        "log_server": set(),
        "key_store": set(),
        "self_test": {RNG, LOG, KEYS},
    }
    assert codec.load(codec.dump(manifest)) == manifest


def test_the_whole_layer():
    manifest = Poukai(admin=True).manifest("qemu-arm-virt")
    assert connections(manifest) == {
        "rng_server": set(),
        "log_server": set(),
        "key_store": set(),
        "ethernet": set(),
        "self_test": {RNG, LOG, KEYS},
        "tunnel": {LOG, KEYS, services.PORT_ETHERNET},
        "admin": {LOG, RNG, KEYS, services.PORT_INTERNET},
    }
    for app, _port, access in manifest.grants():
        if access.role == "client" and app.name != "self_test":
            assert all(
                app.priority < manifest.server_of(p).priority for p, a in app.grants() if a.role == "client"
            )


def test_a_layer_of_ours_is_said_by_the_users_class():
    class Mine(System):
        base = Poukai

    assert Mine().manifest().apps["rng_server"].where.startswith("test_poukai.py:")


def with_sensor() -> Context:
    return Poukai().context(Context("test")).put_app(App("sensor", PythonImage("sensor")))


def test_an_i2c_server_connects_its_apps():
    ctx = with_sensor().put_app(I2CServer(Poukai.i2c2, devices={"sensor": [0x77, 0x76]}))
    manifest = ctx.manifest()
    assert manifest.server_of(Poukai.i2c2.port).name == "i2c2_server"
    assert manifest.apps["sensor"].access["msg0"]["kos_i2c2_protocol"].role == "client"
    assert manifest.apps["i2c2_server"].config == {
        "bus": "i2c2",
        "port": "kos_i2c2_protocol",
        "bus_speed": 400_000,
        "devices": {"sensor": (0x76, 0x77)},
        "simulate": {},
    }
    assert [resource.bus for resource in manifest.apps["i2c2_server"].resources] == ["i2c2"]


def test_a_simulated_bus_holds_no_hardware():
    ctx = with_sensor().put_app(I2CServer("i2c2", devices={"sensor": [0x76]}, simulate={0x76: "bme280"}))
    server = ctx.apps["i2c2_server"]
    assert server.resources == ()
    assert server.config["simulate"] == {"0x76": "bme280"}


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (I2CServer("i2c2", devices={"ghost": [0x76]}), "no app 'ghost'"),
        (I2CServer("i2c2", devices={"sensor": [0x78]}), "address 0x78 is outside 0x08 to 0x77"),
        (I2CServer("i2c2", devices={"sensor": [0x07]}), "address 0x07 is outside"),
        (I2CServer("i2c2", devices={"sensor": ["0x76"]}), "expected a 7-bit address"),
        (I2CServer("i2c2", bus_speed=123), "expected one of 100000, 400000"),
        (I2CServer("I2C", devices={}), "a port's name"),
    ],
)
def test_a_wrong_bus_is_refused(package: I2CServer, message: str):
    with pytest.raises(ManifestError, match=message) as caught:
        with_sensor().put_app(package)
    assert caught.value.where.startswith(__file__)


def traced_by(manifest) -> set[str]:
    return {
        app.name
        for app, port, access in manifest.grants()
        if port.name == services.PORT_TRACE and access.role == "client"
    }


class WithApps(System):
    """Two apps, one of which speaks to nobody."""

    def setup(self, ctx: Context) -> Context:
        ctx = ctx.put_app(App("sensor", PythonImage("sensor"))).put_app(App("alone", PythonImage("alone")))
        return ctx.connect_protocol("sensor", Poukai.log)


def test_tracing_reaches_every_app_that_sends_messages_and_those_put_later():
    class Traced(WithApps):
        base = Poukai(tracing=True, admin=True)

    manifest = Traced().manifest()
    assert manifest.options.tracing
    assert traced_by(manifest) == set(manifest.apps) - {"trace_server", "alone"}
    readers = {
        app.name for app, port, access in manifest.grants()
        if port.name == services.PORT_TRACE_ADMIN and access.role == "client"
    }  # fmt: skip
    assert readers == {"admin"}


def test_only_the_apps_that_are_named_are_traced():
    class Traced(WithApps):
        base = Poukai(tracing=["sensor"])

    assert traced_by(Traced().manifest()) == {"sensor"}


def test_tracing_an_app_that_does_not_exist_is_an_error():
    class Traced(WithApps):
        base = Poukai(tracing=["nobody"])

    with pytest.raises(ManifestError, match="nobody"):
        Traced().manifest()


def test_the_option_switches_tracing_on_and_off_by_itself():
    class Switched(WithApps):
        base = Poukai

        def setup(self, ctx: Context) -> Context:
            return super().setup(ctx).set_kos_options(tracing=True)

    class Off(WithApps):
        base = Poukai(tracing=True)

        def setup(self, ctx: Context) -> Context:
            return super().setup(ctx).set_kos_options(tracing=False)

    assert traced_by(Switched().manifest()) == {
        "rng_server",
        "log_server",
        "key_store",
        "self_test",
        "sensor",
    }
    assert traced_by(Off().manifest()) == set()


def test_no_trace_is_no_different_from_before():
    assert "trace_server" not in Poukai().manifest().apps


def test_layers_finish_from_the_lowest_up_once_all_are_set_up():
    told: list[str] = []

    def layer(name: str, below: System | None) -> System:
        class Layer(System):
            base = below

            def setup(self, ctx: Context) -> Context:
                told.append(f"setup {name}")
                return ctx

            def finish(self, ctx: Context) -> Context:
                told.append(f"finish {name}")
                return ctx

        return Layer()

    layer("upper", layer("lower", None)).context(Context("test"))
    assert told == ["setup lower", "setup upper", "finish lower", "finish upper"]
