"""Faults in who reaches the network, and how."""

from tests.assurance.world import World, fault, near_miss


def on_the_network(w: World, app: str, address: str = "10.90.0.4") -> None:
    w.grant(app, "kos_internet_protocol")
    w.manifest["options"]["tunnel_ips"][app] = {
        "address": address,
        "mask": "255.255.255.0",
        "gateway": "10.90.0.1",
    }


@fault("network-app-reaches-keys", "sensitive-port")
def app_with_the_network_and_the_keys(w: World) -> None:
    w.grant("station", "kos_key_store_protocol")


@near_miss("network-app-reaches-keys", "sensitive-port")
def app_with_the_keys_and_no_network(w: World) -> None:
    w.grant("sensor", "kos_key_store_protocol")
    w.grant("sensor", "kos_log_protocol")


@fault("listening-port")
def socket_that_nobody_declared(w: World) -> None:
    w.running["apps"]["station"]["listening"] = ["tcp 0.0.0.0:2323"]


@near_miss("listening-port")
def socket_that_is_declared(w: World) -> None:
    w.running["apps"]["station"]["listening"] = ["tcp 10.90.0.3:8080"]
    w.app("station")["config"] = {"listen": ["tcp 10.90.0.3:8080"]}


@fault("plain-text-channel")
def plain_address_in_the_configuration(w: World) -> None:
    w.app("station")["config"] = {"server": {"url": "http://weather.example.org/report"}}


@fault("plain-text-channel")
def plain_address_in_an_argument(w: World) -> None:
    w.app("station")["arguments"] = ["--broker", "mqtt://broker.example.org:1883"]


@near_miss("plain-text-channel")
def encrypted_and_local_addresses(w: World) -> None:
    w.app("station")["config"] = {
        "a": "https://weather.example.org/",
        "b": "http://127.0.0.1:8000",
        "c": "mqtt://10.90.0.1:1883",
        "d": "http://localhost/",
    }


@fault("unrestricted-destinations")
def app_without_an_allow_list(w: World) -> None:
    w.app("tunnel")["config"] = {}


@fault("unrestricted-destinations")
def app_that_may_send_anywhere(w: World) -> None:
    w.app("tunnel")["config"] = {"allow": {"station": ["any 0.0.0.0/0"]}}


@near_miss("unrestricted-destinations", "unused-grant")
def app_that_may_send_nowhere(w: World) -> None:
    w.app("tunnel")["config"] = {"allow": {"station": []}}


@fault("tunnel-address")
def app_on_the_network_without_an_address(w: World) -> None:
    del w.manifest["options"]["tunnel_ips"]["station"]


@fault("tunnel-address")
def two_apps_with_one_address(w: World) -> None:
    on_the_network(w, "sensor", "10.90.0.3")
    w.grant("sensor", "kos_log_protocol")
    w.app("tunnel")["config"]["allow"]["sensor"] = ["icmp 10.90.0.1"]


@near_miss("tunnel-address")
def two_apps_with_neighbouring_addresses(w: World) -> None:
    on_the_network(w, "sensor", "10.90.0.4")
    w.grant("sensor", "kos_log_protocol")
    w.app("tunnel")["config"]["allow"]["sensor"] = ["icmp 10.90.0.1"]
