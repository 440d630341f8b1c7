"""Faults in whether the system stays up, and whether somebody is told when it does not."""

from datetime import date

from kos.assurance import Waiver
from tests.assurance.world import TODAY, World, fault, near_miss


def restart(w: World, app: str, **changes: object) -> None:
    w.app(app)["restart"] = {**w.app(app)["restart"], **changes}


@fault("no-restart")
def app_that_stays_down(w: World) -> None:
    restart(w, "sensor", policy="never")


@fault("no-restart")
def app_that_may_be_restarted_zero_times(w: World) -> None:
    restart(w, "sensor", limit=0)


@near_miss("no-restart")
def self_test_that_runs_once(w: World) -> None:
    assert w.app("self_test")["restart"]["policy"] == "never"


@fault("restart-without-back-off")
def app_that_is_restarted_at_once(w: World) -> None:
    restart(w, "sensor", backoff_initial=0)


@fault("restart-without-back-off")
def app_whose_longest_pause_is_the_shorter(w: World) -> None:
    restart(w, "sensor", backoff_initial=5, backoff_max=1)


@near_miss("restart-without-back-off")
def app_that_is_restarted_at_an_even_pace(w: World) -> None:
    restart(w, "sensor", backoff_initial=1, backoff_max=1)


@fault("critical-without-health-check")
def critical_app_that_nobody_would_miss(w: World) -> None:
    w.copy_app("sensor", "valve", critical=True)


@near_miss("critical-without-health-check")
def critical_app_with_a_client(w: World) -> None:
    w.app("station")["critical"] = True


@fault("events-not-logged")
def networked_app_without_a_log(w: World) -> None:
    del w.app("station")["access"]["msg0"]["kos_log_protocol"]


@near_miss("events-not-logged")
def offline_app_without_a_log(w: World) -> None:
    assert "kos_log_protocol" not in w.app("sensor")["access"]["msg0"]


def waiver(expires: date) -> Waiver:
    return Waiver("no-limit", "sensor", "Ada Lovelace", "measured", expires)


@fault("expired-waiver")
def waiver_of_yesterday(w: World) -> None:
    w.waivers.append(waiver(date(2026, 10, 31)))


@near_miss("expired-waiver")
def waiver_of_today(w: World) -> None:
    w.waivers.append(waiver(TODAY))
