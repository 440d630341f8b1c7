"""Upgrades of a device under QEMU: live replacement, fall-back of an app that crashes, refusals, and both
survive a restart.
"""

from __future__ import annotations

import time

import pytest

from kos.abi.errors import KosError

from .qemu_device import CRASHING, STEADY, archive, needs_sdk, new_machine, powered, project, push

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(900)]

READY = r"apps ready after"


def test_app_upgrades_are_live_and_bad_ones_are_taken_back(tmp_path, figures):
    needs_sdk()
    apps = {"alpha": STEADY.format(text="alpha one"), "beta": STEADY.format(text="beta one")}
    first = archive(project(tmp_path / "one", apps, "1.0.0"), tmp_path / "one.zip")
    apps["beta"] = STEADY.format(text="beta two")
    second = archive(project(tmp_path / "two", apps, "1.1.0"), tmp_path / "two.zip")
    apps["beta"] = CRASHING
    third = archive(project(tmp_path / "three", apps, "1.2.0"), tmp_path / "three.zip")
    machine = new_machine(first, tmp_path / "machine")
    with powered(machine) as device:
        device.wait_for(READY)
        device.wait_for("healthy: generation 1")
        with device.client() as client:
            assert client.hello()["state"] == "good"
        starts = device.text().count("alpha one")
        began = time.monotonic()
        events, sent = push(device, second, tmp_path)
        seconds = time.monotonic() - began
        assert [event["event"] for event in events] == ["installed", "applied", "healthy"]
        assert events[1]["started"] == ["beta"]
        device.wait_for("beta two")
        assert device.text().count("alpha one") == starts, "an app that did not change was started again"
        change = events[1]["seconds"]
        figures(f"app-only upgrade: {sent} bytes, {change} s of change, {seconds:.1f} s until healthy")

        events, _ = push(device, third, tmp_path)
        assert [event["event"] for event in events] == [
            "installed",
            "applied",
            "reverting",
            "applied",
            "reverted",
        ]
        assert "beta" in events[2]["reason"]
        assert device.text().count("alpha one") == starts
        with pytest.raises(KosError, match=r"release 1\.0\.0 is older than 1\.1\.0"):
            push(device, first, tmp_path)
        with device.client() as client:
            facts = client.hello()
            assert facts["release"] == "1.1.0"
            failed = [one for one in facts["generations"] if one["state"] == "failed"]
            assert [one["number"] for one in failed] == [3] and "beta" in failed[0]["reason"]
    with powered(machine) as device:
        device.wait_for("generation 2 .good., release 1.1.0")
        device.wait_for(READY)
