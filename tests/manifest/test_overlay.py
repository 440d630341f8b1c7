"""Overlays: what they may say, what becomes of a release under one, and the difference between two builds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kos.manifest import AccessControl, App, BuiltPythonImage, Context, codec, overlay
from kos.manifest.errors import ManifestError


def image(letter: str) -> BuiltPythonImage:
    return BuiltPythonImage(letter * 64, 100, "main:main")


def release(**changes: Any) -> Context:
    pump = App(
        "pump", image("a"), environ={"RATE": "1", "UNIT": "l"}, config={"deep": {"x": 1}, "y": 2}, **changes
    )
    return Context("pumps", release="1.0").put_msg_server("msg0").put_port("p", "msg0").put_app(pump)


def over(**document: Any) -> dict[str, Any]:
    data = overlay.canonical(document)
    merged = overlay.lay_over(codec.dump(release().manifest()), data)
    assert codec.dump(codec.load(merged)) == merged, "in canonical form"
    return json.loads(merged)


def test_settings_of_an_app_are_merged_key_by_key() -> None:
    pump = over(
        apps={"pump": {"environ": {"RATE": "5", "UNIT": None}, "config": {"y": 3}, "arguments": ["-v"]}}
    )
    pump = pump["apps"]["pump"]
    assert pump["environ"] == {"RATE": "5"} and pump["config"] == {"deep": {"x": 1}, "y": 3}
    assert pump["arguments"] == ["-v"]


def test_apps_come_and_go() -> None:
    extra = codec.to_json(release().put_app(App("probe", image("b"))).manifest())["apps"]["probe"]
    made = over(apps={"probe": extra, "pump": None}, ports={"msg0": ["q"]})
    assert list(made["apps"]) == ["probe"] and made["msg_servers"]["msg0"]["ports"] == ["p", "q"]
    assert overlay.blobs_of({"apps": {"probe": extra}}) == {"b" * 64: 100}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "found 'nothing'"),
        ({"kernel": {}}, "found 'kernel'"),
        ({"apps": []}, "expected an object"),
        ({"apps": {"pump": {"memory": 1}}}, "expected only environ, config, arguments"),
        ({"apps": {"pump": {"environ": []}}}, "environ must be an object"),
        ({"apps": {"nobody": {"environ": {}}}}, "which the release does not have"),
        ({"ports": {"msg9": ["x"]}}, "which is no message server"),
        ({"apps": {"pump": {"environ": {"RATE": 5}}}}, "RATE"),
        ({"settings": {"x": "y" * overlay.BYTES_MAX}}, "at most"),
        ({"settings": {"x": float("nan")}}, "no canonical form"),
        ({"format": "kos.manifest", "settings": {}}, "not an overlay"),
    ],
)
def test_what_an_overlay_may_not_say(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        over(**document)


def test_the_difference_makes_one_build_of_the_other() -> None:
    old = release().manifest()
    context = (
        Context("pumps", release="1.0").put_msg_server("msg0").put_port("p", "msg0").put_port("q", "msg0")
    )
    new = (
        context.put_app(App("pump", image("a"), environ={"RATE": "9"}, config={"deep": {"x": 1}, "y": 2}))
        .put_app(App("probe", image("b"), access={"msg0": {"q": AccessControl.client()}}))
        .manifest()
    )
    document = overlay.difference(old, new)
    assert document["apps"]["pump"] == {"environ": {"RATE": "9", "UNIT": None}}
    merged = codec.load(overlay.lay_over(codec.dump(old), overlay.canonical(document)))
    assert {name: app.environ for name, app in merged.apps.items()} == {"pump": {"RATE": "9"}, "probe": {}}
    assert overlay.difference(merged, new).get("apps", {}).keys() <= {"pump", "probe"}
    assert overlay.difference(old, old) == {}
    with pytest.raises(ManifestError, match="differ in options"):
        overlay.difference(old, release().set_kos_options(disable_signing=True).manifest())
