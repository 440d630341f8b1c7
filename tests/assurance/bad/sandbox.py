"""Faults in how apps are confined: in the manifest, and in a running system that somebody tampered with."""

from tests.assurance.world import World, fault, near_miss


@fault("host-network")
def ordinary_app_with_the_interface(w: World) -> None:
    w.app("sensor")["resources"].append({"type": "network"})


@near_miss("host-network")
def ethernet_with_the_interface(w: World) -> None:
    assert {"type": "network"} in w.app("ethernet")["resources"]


@fault("platform-resource")
def ordinary_app_with_the_key_partition(w: World) -> None:
    w.app("sensor")["resources"].append({"type": "keys"})


@fault("platform-resource")
def ordinary_app_with_the_supervisor(w: World) -> None:
    w.app("sensor")["resources"].append({"type": "supervisor"})


@fault("platform-resource")
def ordinary_app_with_virtualisation(w: World) -> None:
    w.app("sensor")["resources"].append({"type": "kvm"})


@fault("platform-resource")
def core_service_that_may_pass_on_shells(w: World) -> None:
    w.app("self_test")["resources"] = [{"type": "supervisor", "streams": True}]


@near_miss("platform-resource")
def admin_that_may_pass_on_shells(w: World) -> None:
    w.app("admin")["resources"] = [{"type": "supervisor", "streams": True}]


@near_miss("platform-resource")
def core_services_with_what_they_need(w: World) -> None:
    assert {"type": "keys"} in w.app("key_store")["resources"]
    assert {"type": "supervisor"} in w.app("self_test")["resources"]


@fault("privileged-process")
def app_that_runs_as_root(w: World) -> None:
    w.running["apps"]["sensor"]["uid"] = 0


@fault("privileged-process")
def app_with_a_capability(w: World) -> None:
    w.running["apps"]["sensor"]["capabilities"] = 1 << 21


@fault("privileged-process")
def app_that_may_gain_privileges(w: World) -> None:
    w.running["apps"]["sensor"]["no_new_privs"] = False


@fault("privileged-process")
def message_server_that_runs_as_root(w: World) -> None:
    w.running["msg_servers"]["msg0"]["uid"] = 0


@near_miss("privileged-process")
def app_with_a_low_uid(w: World) -> None:
    w.running["apps"]["sensor"]["uid"] = 1


@fault("no-filter")
def app_without_a_filter(w: World) -> None:
    w.running["apps"]["sensor"]["seccomp"] = "none"


@fault("no-filter")
def app_with_a_deny_list(w: World) -> None:
    w.running["apps"]["sensor"]["default"] = "allow"


@fault("no-filter")
def app_with_a_relaxed_filter(w: World) -> None:
    w.running["apps"]["sensor"]["filter"] = "e" * 64


@near_miss("no-filter")
def app_whose_filter_cannot_be_read(w: World) -> None:
    w.running["apps"]["sensor"]["filter"] = None


@fault("dangerous-call")
def filter_that_allows_namespaces(w: World) -> None:
    w.running["apps"]["sensor"]["allowed"].append("unshare")


@fault("dangerous-call")
def filter_that_allows_tracing(w: World) -> None:
    w.running["apps"]["sensor"]["allowed"].append("ptrace")


@near_miss("dangerous-call")
def filter_that_allows_threads(w: World) -> None:
    w.running["apps"]["sensor"]["allowed"] += ["clone", "sched_yield"]


@fault("shared-namespace")
def app_in_the_hosts_process_namespace(w: World) -> None:
    w.running["apps"]["sensor"]["namespaces"]["pid"] = w.running["namespaces"]["pid"]


@fault("shared-namespace")
def ethernet_in_the_hosts_network(w: World) -> None:
    w.running["apps"]["ethernet"]["namespaces"]["net"] = w.running["namespaces"]["net"]


@fault("shared-namespace")
def app_in_the_hosts_network(w: World) -> None:
    w.running["apps"]["sensor"]["namespaces"]["net"] = w.running["namespaces"]["net"]


@near_miss("shared-namespace")
def app_in_the_hosts_user_namespace(w: World) -> None:
    # Started by root, an app has a uid of its own there.
    w.running["apps"]["sensor"]["namespaces"]["user"] = w.running["namespaces"]["user"]


@fault("writable-path")
def app_that_can_write_its_image(w: World) -> None:
    w.running["apps"]["sensor"]["writable"].append("/app")


@fault("writable-path")
def app_with_data_that_it_was_not_given(w: World) -> None:
    w.running["apps"]["sensor"]["writable"].append("/data")


@near_miss("writable-path")
def app_with_data_that_it_was_given(w: World) -> None:
    w.running["apps"]["log_server"]["writable"].append("/data")


@fault("extra-descriptor")
def app_with_a_file_of_the_host(w: World) -> None:
    w.running["apps"]["sensor"]["descriptors"].append({"fd": 9, "kind": "host:/etc/shadow"})


@fault("extra-descriptor")
def app_with_a_socket(w: World) -> None:
    w.running["apps"]["sensor"]["descriptors"].append({"fd": 9, "kind": "passed socket"})


@fault("extra-descriptor")
def app_with_the_supervisors_socket(w: World) -> None:
    w.running["apps"]["sensor"]["descriptors"].append({"fd": 9, "kind": "supervisor"})


@fault("extra-descriptor")
def app_with_another_message_server(w: World) -> None:
    w.running["apps"]["sensor"]["descriptors"].append({"fd": 9, "kind": "control:msg1"})


@near_miss("extra-descriptor")
def ethernet_with_a_packet_socket(w: World) -> None:
    w.running["apps"]["ethernet"]["descriptors"].append({"fd": 9, "kind": "network"})


@near_miss("extra-descriptor")
def app_with_a_mailbox_and_its_own_file(w: World) -> None:
    own = [{"fd": 9, "kind": "mailbox"}, {"fd": 10, "kind": "/app/data.txt"}]
    w.running["apps"]["sensor"]["descriptors"] += own


@fault("limit-not-enforced")
def limit_that_the_kernel_does_not_know(w: World) -> None:
    w.running["apps"]["sensor"]["limits"]["memory"] = None


@fault("limit-not-enforced")
def limit_that_is_higher_than_said(w: World) -> None:
    w.running["apps"]["sensor"]["limits"]["processes"] = 17


@near_miss("limit-not-enforced")
def limit_that_is_lower_than_said(w: World) -> None:
    w.running["apps"]["sensor"]["limits"]["processes"] = 15


def guest(w: World) -> None:
    image = {"kind": "service", "entry": "kos.services.vmm.main:main"}
    w.copy_app("sensor", "guest", image=image, resources=[{"type": "kvm"}])
    w.running["apps"]["guest"] = {**w.running["apps"]["sensor"], "uid": 10100, "descriptors": []}


@fault("less-confined-vmm")
def guest_that_shares_its_uid_and_can_write_more(w: World) -> None:
    guest(w)
    w.running["apps"]["guest"] |= {
        "uid": w.running["apps"]["sensor"]["uid"],
        "writable": ["/tmp", "/dev/shm"],
    }


@fault("less-confined-vmm")
def guest_with_more_system_calls_than_any_app(w: World) -> None:
    guest(w)
    w.running["apps"]["guest"]["allowed"] = ["read", "write", "futex", "mmap", "ioctl", "pread64", "poll"]


@near_miss("less-confined-vmm")
def guest_as_confined_as_an_app(w: World) -> None:
    guest(w)
    w.running["apps"]["guest"]["allowed"] = ["read", "write", "futex", "mmap", "ioctl"]


@near_miss("less-confined-vmm")
def guest_with_what_its_monitor_needs(w: World) -> None:
    guest(w)
    own = w.running["apps"]["guest"]
    own["allowed"] = [*own["allowed"], "execve", "ioctl", "memfd_create", "prctl", "seccomp"]


@fault("less-confined-vmm")
def guest_without_a_network_that_may_make_sockets(w: World) -> None:
    guest(w)
    own = w.running["apps"]["guest"]
    own["allowed"] = [*own["allowed"], "socket", "connect"]


@fault("unknown-process")
def app_that_is_not_in_the_manifest(w: World) -> None:
    w.running["apps"]["miner"] = {**w.running["apps"]["sensor"], "descriptors": []}


@near_miss("unknown-process")
def app_that_does_not_run(w: World) -> None:
    del w.running["apps"]["sensor"]


@fault("changed-file")
def file_that_was_changed(w: World) -> None:
    w.running["apps"]["sensor"]["files"]["/app/main"] = "d" * 64


@fault("changed-file")
def file_that_was_added(w: World) -> None:
    w.running["apps"]["sensor"]["files"]["/app/extra"] = "d" * 64


@fault("changed-file")
def file_that_was_removed(w: World) -> None:
    w.running["apps"]["sensor"]["expected"]["files"]["/app/other"] = "d" * 64


@near_miss("changed-file")
def files_that_nobody_looked_at(w: World) -> None:
    w.running["apps"]["sensor"]["files"] = {}
