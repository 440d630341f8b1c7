"""What a device reports of its apps' network: each counter of each app, and sums that become time series."""

from __future__ import annotations

from kos.abi.session import Report
from kos.services.admin.state import DeviceState

STATUS = {
    "name": "small",
    "state": "running",
    "apps": {
        "station": {
            "state": "running",
            "ready": True,
            "violations": 0,
            "network": {"sent": [10, 1000], "received": [8, 700], "dns": [2, 120], "ipv6": [1, 0]},
        },
        "attacker": {"state": "failed", "violations": 3, "network": {"sent": [1, 60], "neighbour": [4, 240]}},
        "loner": {"state": "stopped", "network": {}},
    },
}


def test_refusals_and_traffic_reach_the_server():
    state = DeviceState("boot", "host")
    for _ in range(2):  # the sums are of the newest status, not of all
        state.take_status(STATUS)
    report = Report.parse(state.report(1).to_bytes())
    assert report.apps["station"].network == {"sent": 10, "received": 8, "dns": 2, "ipv6": 1}
    assert report.apps["attacker"].violations == 3
    assert report.apps["loner"].network == {}
    assert report.metrics["network_sent"] == 1060 and report.metrics["network_received"] == 700
    assert report.metrics["refused"] == 2 + 1 + 3 + 4


def test_a_supervisor_that_knows_no_counters():
    state = DeviceState("boot", "host")
    state.take_status(
        {"name": "small", "state": "running", "apps": {"a": {"state": "running", "ready": True}}}
    )
    report = Report.parse(state.report(1).to_bytes())
    assert report.apps["a"].network == {} and report.metrics["refused"] == 0
