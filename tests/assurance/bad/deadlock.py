"""Faults in who may wait for whom."""

from tests.assurance.world import World, fault, near_miss


@fault("blocking-cycle", "call-to-lower-priority")
def two_apps_that_call_each_other(w: World) -> None:
    w.port("back_protocol")
    w.grant("sensor", "back_protocol", "server")
    w.grant("station", "back_protocol")


@fault("blocking-cycle", "call-to-lower-priority")
def three_apps_in_a_circle(w: World) -> None:
    w.copy_app("sensor", "third", priority=97, max_priority=97)
    w.port("onward_protocol")
    w.port("back_protocol")
    w.grant("station", "onward_protocol")
    w.grant("third", "onward_protocol", "server")
    w.grant("third", "back_protocol")
    w.grant("sensor", "back_protocol", "server")


@near_miss("blocking-cycle", "start-up-cycle")
def circle_with_one_side_that_only_sends(w: World) -> None:
    w.port("back_protocol")
    w.grant("sensor", "back_protocol", "server")
    w.grant("station", "back_protocol", blocking=False)


@fault("start-up-cycle")
def two_apps_that_need_each_other_to_start(w: World) -> None:
    w.port("back_protocol")
    w.grant("sensor", "back_protocol", "server")
    w.grant("station", "back_protocol", blocking=False)


@near_miss("start-up-cycle")
def two_ways_to_one_server(w: World) -> None:
    w.copy_app("sensor", "third", priority=92, max_priority=92)
    w.port("onward_protocol")
    w.grant("sensor", "onward_protocol")
    w.grant("third", "onward_protocol", "server")
    w.grant("third", "weather_protocol")


@fault("call-to-lower-priority")
def urgent_app_that_waits_for_a_slow_one(w: World) -> None:
    w.app("sensor").update(priority=96, max_priority=96)


@near_miss("call-to-lower-priority")
def urgent_app_that_only_sends_to_a_slow_one(w: World) -> None:
    w.app("sensor").update(priority=96, max_priority=96)
    w.grant("sensor", "weather_protocol", blocking=False)


@fault("call-to-equal-priority")
def caller_as_urgent_as_its_server(w: World) -> None:
    w.app("sensor").update(priority=95, max_priority=95)


@near_miss("call-to-equal-priority")
def caller_one_below_its_server(w: World) -> None:
    w.app("sensor").update(priority=94, max_priority=94)


@fault("unpaced-client")
def client_that_floods_an_urgent_server(w: World) -> None:
    w.grant("sensor", "weather_protocol", blocking=False)


@near_miss("unpaced-client")
def client_that_floods_a_server_no_more_urgent(w: World) -> None:
    w.grant("sensor", "weather_protocol", blocking=False)
    w.app("sensor").update(priority=95, max_priority=95)


@fault("critical-waits-on-ordinary", "critical-without-health-check")
def critical_app_that_waits_for_an_ordinary_one(w: World) -> None:
    w.app("sensor")["critical"] = True


@near_miss("critical-waits-on-ordinary")
def critical_app_that_waits_for_a_critical_one(w: World) -> None:
    w.app("station")["critical"] = True
