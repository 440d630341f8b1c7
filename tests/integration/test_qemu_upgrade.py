"""Upgrades of a device under QEMU: live replacement beside apps that go on with each other, fall-back
of an app that crashes and of a self-test that fails, refusals; all of it survives a restart.
"""

from __future__ import annotations

import re
import time

import pytest

from kos.abi.errors import KosError

from .qemu_device import CRASHING, STEADY, archive, needs_sdk, new_machine, powered, project, push

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1800)]

READY = r"apps ready after"
# One message after the other; each number must arrive, in order, whatever happens around.
SENDING = """
    import time
    from kos import app

    def main():
        token = app.connect("count_protocol")
        print("alpha starts", flush=True)
        app.ready()
        number = 0
        while True:
            number += 1
            token.call(1, number)
            time.sleep(0.02)
"""
RECEIVING = """
    from kos import app

    class Counter:
        last = 0

        def take(self, request):
            if request.param != self.last + 1:
                print(f"lost messages after {self.last}: {request.param}", flush=True)
            self.last = request.param
            if self.last % 50 == 0:
                print(f"received {self.last}", flush=True)

    def main():
        server = app.Server()
        server.bind("count_protocol", {1: Counter().take})
        print("gamma starts", flush=True)
        app.ready()
        server.serve()
"""
MORE = (
    ".put_port('count_protocol', Poukai.msg_server)"
    ".serve_protocol('gamma', 'count_protocol', Poukai.msg_server)"
    ".connect_protocol('alpha', 'count_protocol', Poukai.msg_server)"
)
# The key store lets nobody do anything, and that is one of the things that are tested.
CLOSED = "def _key_store_config(self): return {}"


def received(text: str) -> int:
    """The number of the last message that is known to have arrived."""
    return max((int(number) for number in re.findall(r"received (\d+)", text)), default=0)


def test_app_upgrades_are_live_and_bad_ones_are_taken_back(tmp_path, figures):
    needs_sdk()
    apps = {"alpha": SENDING, "gamma": RECEIVING, "beta": STEADY.format(text="beta one")}

    def release(version: str, layer: str = "pass") -> object:
        source = project(tmp_path / version, apps, version, more=MORE, layer=layer)
        return archive(source, tmp_path / f"{version}.zip")

    first = release("1.0.0")
    apps["beta"] = STEADY.format(text="beta two")
    second, closed = release("1.1.0"), release("1.3.0", CLOSED)
    apps["beta"] = CRASHING
    third = release("1.2.0")
    machine = new_machine(first, tmp_path / "machine")
    with powered(machine) as device:
        device.wait_for(READY)
        device.wait_for("healthy: generation 1")
        with device.client() as client:
            assert client.hello()["state"] == "good"
        before = received(device.text())
        so_far, began = len(device.lines), time.monotonic()
        events, sent = push(device, second, tmp_path)
        seconds = time.monotonic() - began
        assert [event["event"] for event in events] == ["installed", "applied", "healthy"]
        assert events[1]["started"] == ["beta"]
        for line in ("beta two", "self_test .*passed"):  # in either order
            device.wait_for(line, so_far)
        change = events[1]["seconds"]
        figures(
            f"app-only upgrade: {sent} bytes, {change} s of change, {seconds:.1f} s until healthy; "
            f"{received(device.text()) - before} messages between other apps meanwhile, none lost"
        )

        events, _ = push(device, third, tmp_path)
        names = [event["event"] for event in events]
        assert names == ["installed", "applied", "reverting", "applied", "reverted"]
        assert "beta" in events[2]["reason"]
        events, _ = push(device, closed, tmp_path)
        assert events[-1]["event"] == "reverted"
        assert "self_test failed" in events[2]["reason"]
        with pytest.raises(KosError, match=r"release 1\.0\.0 is older than 1\.1\.0"):
            push(device, first, tmp_path)

        after = received(device.text())
        device.wait_for(f"received {after + 50}")
        for line in ("alpha starts", "gamma starts"):
            assert device.text().count(line) == 1, "an app that did not change was started again"
        assert "lost messages" not in device.text()
        with device.client() as client:
            facts = client.hello()
            assert facts["release"] == "1.1.0"
            reasons = {
                one["number"]: one["reason"] for one in facts["generations"] if one["state"] == "failed"
            }
            assert "beta" in reasons[3] and "self_test" in reasons[4]
    with powered(machine) as device:
        device.wait_for("generation 2 .good., release 1.1.0")
        device.wait_for(READY)
        with device.client() as client:
            kept = {one["number"]: one["reason"] for one in client.hello()["generations"]}
            assert kept[3] == reasons[3] and kept[4] == reasons[4]
