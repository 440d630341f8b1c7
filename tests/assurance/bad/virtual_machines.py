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
