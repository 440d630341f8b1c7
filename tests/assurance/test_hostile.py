"""Assurance is given manifests that somebody wrote to break it: it judges them and never falls over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kos.assurance import KINDS, check
from kos.assurance.facts import Facts
from kos.assurance.query import ask, diff
from kos.manifest import Manifest, codec
from tests.assurance.world import clean
from tests.manifest.strategies import json_values, manifests

some = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
# Every key of a configuration that a rule or a question reads.
READ = {
    "i2c2_server": ["devices"],
    "key_store": ["keys", "access"],
    "tunnel": ["allow"],
    "station": ["listen", "disks", "memory", "password"],
}
shapes = json_values | st.dictionaries(st.sampled_from(["sensor", "station", "server", "x"]), json_values)


def everything(manifest: Manifest) -> None:
    report = check(manifest)
    for kind in KINDS:
        report.render(kind)
    facts = Facts(manifest)
    for app in facts.apps:
        ask(manifest, "what-can", app)
        ask(manifest, "who-can-reach", f"app:{app}")
    for port in facts.ports:
        ask(manifest, "who-can-reach", f"port:{port.name}")


@some
@given(manifests())
def test_any_manifest_is_judged(manifest: Manifest):
    everything(manifest)
    assert diff(manifest, manifest).lines == ()


@some
@given(st.sampled_from([(app, key) for app, keys in READ.items() for key in keys]), shapes)
def test_any_setting_of_a_core_service_is_judged(place: tuple[str, str], value: Any):
    world = clean()
    app, key = place
    world.app(app)["config"][key] = value
    if key == "disks":
        world.app(app)["image"] = {"kind": "service", "entry": "kos.services.vmm.main:main"}
    world.running["apps"]["station"]["listening"] = ["tcp 0.0.0.0:80"]
    world.judge()
    everything(codec.load(json.dumps(world.manifest).encode()))


@some
@given(st.data())
def test_any_dangling_grant_is_judged(data: st.DataObject):
    world = clean()
    app = data.draw(st.sampled_from(sorted(world.manifest["apps"])))
    role = data.draw(st.sampled_from(["client", "server"]))
    port = data.draw(
        st.sampled_from(["ghost", "kos_log_protocol", "kos_internet_protocol", "weather_protocol"])
    )
    world.grant(app, port, role, data.draw(st.sampled_from(["msg0", "msg9"])))
    del world.manifest["apps"][data.draw(st.sampled_from(sorted(world.manifest["apps"])))]
    everything(codec.load(json.dumps(world.manifest).encode(), dangling_ok=True))
