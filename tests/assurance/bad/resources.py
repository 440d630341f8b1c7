"""Faults in memory, storage and the processor."""

from dataclasses import replace

from tests.assurance.world import MIB, World, fault, near_miss


@fault("memory-overcommitted")
def more_memory_than_the_board_has(w: World) -> None:
    w.app("station")["memory"] = 1500 * MIB


@near_miss("memory-overcommitted")
def exactly_the_memory_of_the_board(w: World) -> None:
    others = sum(app["memory"] for name, app in w.manifest["apps"].items() if name != "station")
    w.app("station")["memory"] = w.board.ram - w.board.reserved - others


@fault("no-limit", "limit-not-enforced")
def app_without_a_memory_limit(w: World) -> None:
    w.app("sensor")["memory"] = None
    # What the kernel is told is another rule's matter: here it forgets a limit that is still there.
    w.running["apps"]["sensor"]["limits"]["processes"] = None


@fault("no-limit")
def app_without_a_process_limit(w: World) -> None:
    w.app("sensor")["processes"] = None


@fault("no-limit")
def app_without_a_descriptor_limit(w: World) -> None:
    w.app("sensor")["descriptors"] = None


@near_miss("no-limit")
def app_with_a_large_limit(w: World) -> None:
    w.app("sensor")["processes"] = 65536


@fault("priority-over-max")
def priority_over_its_ceiling(w: World) -> None:
    w.app("sensor")["max_priority"] = 89


@near_miss("priority-over-max")
def priority_at_its_ceiling(w: World) -> None:
    w.app("sensor")["max_priority"] = 90


@fault("quota-beyond-data")
def quotas_larger_than_the_data_partition(w: World) -> None:
    w.app("station")["resources"].append({"type": "storage", "size": 1020 * MIB})


@fault("quota-beyond-data", "generation-too-large")
def quotas_larger_than_a_small_data_partition(w: World) -> None:
    w.manifest["options"]["data_size"] = 8000


@near_miss("quota-beyond-data")
def quotas_that_fill_the_data_partition(w: World) -> None:
    w.app("station")["resources"].append({"type": "storage", "size": 1008 * MIB})


@fault("generation-too-large")
def images_that_fit_only_once(w: World) -> None:
    w.board = replace(w.board, data_size=15000)
    w.app("log_server")["resources"] = []


@fault("generation-too-large")
def root_larger_than_its_slot(w: World) -> None:
    w.image = replace(w.image, root_size=129 * MIB)


@near_miss("generation-too-large")
def images_that_fit_exactly_twice(w: World) -> None:
    w.board = replace(w.board, data_size=16000)
    w.app("log_server")["resources"] = []
