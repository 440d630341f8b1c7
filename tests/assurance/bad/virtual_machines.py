"""Faults in guests."""

from tests.assurance.bad.sandbox import guest
from tests.assurance.world import World, fault, near_miss


@fault("hyp-off")
def guest_on_a_platform_without_virtualisation(w: World) -> None:
    guest(w)
    w.manifest["platform"] = "imx8mm-evk"


@near_miss("hyp-off")
def guest_on_a_platform_with_virtualisation(w: World) -> None:
    guest(w)


def disk(w: World, *disks: tuple[str, bool], app: str = "guest") -> None:
    w.app(app)["config"]["disks"] = [{"image": image, "readonly": readonly} for image, readonly in disks]


def two_guests(w: World) -> None:
    guest(w)
    w.copy_app("guest", "second", resources=[{"type": "kvm"}])


@fault("shared-writable-image")
def two_guests_that_write_one_disk(w: World) -> None:
    two_guests(w)
    disk(w, ("root.img", True), ("data.img", False))
    disk(w, ("data.img", True), app="second")


@near_miss("shared-writable-image")
def two_guests_that_read_one_disk(w: World) -> None:
    two_guests(w)
    disk(w, ("root.img", True), ("one.img", False))
    disk(w, ("root.img", True), ("two.img", False), app="second")


@near_miss("shared-writable-image")
def two_guests_with_a_copy_each(w: World) -> None:
    two_guests(w)
    for name in ("guest", "second"):
        w.app(name)["config"]["disks"] = [{"image": "data.img", "readonly": False, "size": 1 << 20}]


@fault("too-many-devices")
def guest_with_six_disks(w: World) -> None:
    guest(w)
    disk(w, *((f"{number}.img", True) for number in range(6)))


@near_miss("too-many-devices")
def guest_with_five_disks(w: World) -> None:
    guest(w)
    disk(w, *((f"{number}.img", True) for number in range(5)))


@fault("guest-over-limit")
def guest_larger_than_its_app(w: World) -> None:
    guest(w)
    w.app("guest")["config"]["memory"] = w.app("guest")["memory"]


@near_miss("guest-over-limit")
def guest_with_room_around_it(w: World) -> None:
    guest(w)
    w.app("guest")["config"]["memory"] = w.app("guest")["memory"] // 2
