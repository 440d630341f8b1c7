"""Faults in who may speak to whom."""

from tests.assurance.world import World, fault, near_miss

SERVICE = {"kind": "service"}


@fault("port-without-server")
def client_of_a_port_that_nobody_serves(w: World) -> None:
    w.port("mail_protocol")
    w.grant("sensor", "mail_protocol")


@near_miss("port-without-server")
def client_of_a_port_that_is_served(w: World) -> None:
    w.port("mail_protocol")
    w.grant("sensor", "mail_protocol")
    w.grant("station", "mail_protocol", "server")


@fault("two-servers")
def second_server_of_a_port(w: World) -> None:
    w.copy_app("sensor", "impostor")
    w.grant("impostor", "weather_protocol", "server")
    w.app("impostor").update(priority=96, max_priority=96)


@near_miss("two-servers")
def server_of_the_same_name_elsewhere(w: World) -> None:
    w.copy_app("station", "other")
    w.copy_app("sensor", "reader")
    w.port("weather_protocol", "msg1")
    w.grant("other", "weather_protocol", "server", "msg1")
    w.grant("reader", "weather_protocol", "client", "msg1")


@fault("undeclared-port")
def grant_of_a_port_that_is_not_declared(w: World) -> None:
    w.grant("sensor", "ghost_protocol")


@fault("undeclared-port")
def grant_on_a_message_server_that_is_not_declared(w: World) -> None:
    w.grant("sensor", "weather_protocol", server="msg7")
    w.running["apps"]["sensor"]["descriptors"].append({"fd": 4, "kind": "control:msg7"})
    # The same name on a second server is a fault of its own.
    del w.app("sensor")["access"]["msg0"]["weather_protocol"]
    w.copy_app("sensor", "reader")
    w.grant("reader", "weather_protocol")


@near_miss("undeclared-port")
def grant_of_a_port_that_another_server_declares_too(w: World) -> None:
    w.port("second_protocol", "msg1")
    w.grant("station", "second_protocol", "server", "msg1")
    w.grant("sensor", "second_protocol", "client", "msg1")


@fault("undeclared-app")
def bus_address_for_an_app_that_is_not_there(w: World) -> None:
    w.app("i2c2_server")["config"]["devices"]["ghost"] = [0x40]


@fault("undeclared-app")
def tunnel_address_for_an_app_that_is_not_there(w: World) -> None:
    address = {"address": "10.90.0.9", "mask": "255.255.255.0", "gateway": "10.90.0.1"}
    w.manifest["options"]["tunnel_ips"]["ghost"] = address


@fault("undeclared-app")
def key_for_an_app_that_is_not_there(w: World) -> None:
    w.app("key_store")["config"]["access"]["ghost"] = {"server": ["sign"]}


@near_miss("undeclared-app")
def bus_address_for_an_app_that_is_there(w: World) -> None:
    w.app("i2c2_server")["config"]["devices"]["station"] = [0x40]


@fault("protocol-mismatch")
def client_speaks_a_newer_protocol(w: World) -> None:
    w.app("station")["access"]["msg0"]["weather_protocol"]["version"] = 1
    w.app("sensor")["access"]["msg0"]["weather_protocol"]["version"] = 2


@near_miss("protocol-mismatch")
def only_one_side_states_a_version(w: World) -> None:
    w.app("station")["access"]["msg0"]["weather_protocol"]["version"] = 1


@fault("unused-grant")
def bus_client_without_an_address(w: World) -> None:
    w.grant("station", "kos_i2c2_protocol")


@fault("unused-grant")
def network_that_leads_to_nobody(w: World) -> None:
    w.app("tunnel")["config"]["allow"]["station"] = []


@near_miss("unused-grant")
def bus_client_with_an_address(w: World) -> None:
    w.grant("station", "kos_i2c2_protocol")
    w.app("i2c2_server")["config"]["devices"]["station"] = [0x40]


@fault("unused-port")
def port_that_nobody_has_to_do_with(w: World) -> None:
    w.port("left_over_protocol")


@near_miss("unused-port", "served-port-without-client")
def port_that_is_served_only(w: World) -> None:
    w.port("new_protocol")
    w.grant("station", "new_protocol", "server")


@fault("served-port-without-client")
def server_without_a_client(w: World) -> None:
    w.port("new_protocol")
    w.grant("station", "new_protocol", "server")


@near_miss("served-port-without-client")
def core_port_without_a_client(w: World) -> None:
    for app in ("admin", "self_test"):
        del w.app(app)["access"]["msg0"]["kos_rng_protocol"]


@fault("ambiguous-port")
def one_name_on_two_message_servers(w: World) -> None:
    w.port("weather_protocol", "msg1")
    w.copy_app("station", "other")
    w.grant("other", "weather_protocol", "server", "msg1")
    w.grant("sensor", "weather_protocol", "client", "msg1")


@near_miss("ambiguous-port")
def two_names_on_two_message_servers(w: World) -> None:
    w.port("second_protocol", "msg1")
    w.grant("station", "second_protocol", "server", "msg1")
    w.grant("sensor", "second_protocol", "client", "msg1")


@fault("sensitive-port", "events-not-logged")
def ordinary_app_with_the_key_store(w: World) -> None:
    w.app("key_store")["config"]["access"]["sensor"] = {"server": ["sign"]}
    w.grant("sensor", "kos_key_store_protocol")


@fault("sensitive-port")
def ordinary_app_with_ethernet(w: World) -> None:
    w.grant("sensor", "kos_ethernet_protocol")


@near_miss("sensitive-port")
def ordinary_app_with_random_numbers(w: World) -> None:
    w.grant("sensor", "kos_rng_protocol")


@fault("unexpected-provider")
def random_numbers_from_an_ordinary_app(w: World) -> None:
    del w.app("rng_server")["access"]["msg0"]["kos_rng_protocol"]
    w.copy_app("station", "my_rng", priority=150, max_priority=150, critical=True)
    w.port("probe_protocol")
    w.grant("my_rng", "kos_rng_protocol", "server")
    # So that somebody notices when the critical app hangs.
    w.grant("my_rng", "probe_protocol", "server")
    w.grant("sensor", "probe_protocol", "client")


@fault("unexpected-provider", "served-port-without-client")
def trace_port_served_by_an_ordinary_app(w: World) -> None:
    w.port("kos_trace_admin_protocol")
    w.grant("sensor", "kos_trace_admin_protocol", "server")


@near_miss("unexpected-provider")
def random_numbers_from_a_renamed_core_service(w: World) -> None:
    w.manifest["apps"]["entropy"] = w.manifest["apps"].pop("rng_server")
    w.running["apps"]["entropy"] = w.running["apps"].pop("rng_server")


@fault("wildcard-grant")
def app_that_holds_every_port(w: World) -> None:
    w.copy_app("sensor", "greedy")
    for number in range(5):
        w.port(f"p{number}_protocol", "msg1")
        w.grant("station", f"p{number}_protocol", "server", "msg1")
        w.grant("greedy", f"p{number}_protocol", "client", "msg1")
    w.running["apps"]["station"]["descriptors"].append({"fd": 4, "kind": "control:msg1"})
    # The server of all of them is not the fault.
    w.port("p5_protocol", "msg1")
    w.copy_app("station", "other")
    w.grant("other", "p5_protocol", "server", "msg1")
    w.grant("greedy", "p5_protocol", "client", "msg1")


@near_miss("wildcard-grant")
def app_that_holds_every_port_of_a_small_server(w: World) -> None:
    for number in range(4):
        w.port(f"p{number}_protocol", "msg1")
        w.grant("station", f"p{number}_protocol", "server", "msg1")
        w.grant("sensor", f"p{number}_protocol", "client", "msg1")


@fault("unexpected-provider")
def random_numbers_from_an_app_that_calls_itself_a_service(w: World) -> None:
    random_numbers_from_an_ordinary_app(w)
    w.app("my_rng")["image"]["entry"] = "kos.services.rng.main:main"
