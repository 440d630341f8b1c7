"""Manifests survive their JSON; what is not a manifest is refused, by codec and schema alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kos.manifest import App, Context, Manifest, ManifestError, PythonImage, codec, limits
from kos.manifest.schema import render
from tests.manifest.strategies import json_values, manifests, names

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "manifest-1.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(codec.schema())
some = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def small() -> dict[str, Any]:
    """A small manifest as a plain object that a test may spoil."""
    ctx = Context("test").put_msg_server("msg0").put_port("a", "msg0").put_app(App("one", PythonImage("one")))
    return json.loads(codec.dump(ctx.serve_protocol("one", "a", "msg0").manifest()))


def load(value: Any) -> Manifest:
    return codec.load(json.dumps(value).encode())


def test_the_published_schema_is_current():
    assert SCHEMA.read_text() == render(), (
        "run: python -m kos.manifest.schema > docs/schema/manifest-1.schema.json"
    )


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(codec.schema())


@some
@given(manifests())
def test_a_manifest_survives(manifest: Manifest):
    data = codec.dump(manifest)
    assert codec.load(data) == manifest
    assert codec.dump(codec.load(data)) == data
    VALIDATOR.validate(json.loads(data))


@some
@given(manifests(), st.data())
def test_a_change_is_judged_alike_by_codec_and_schema(manifest: Manifest, data: st.DataObject):
    value = codec.to_json(manifest)
    here = value
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        deeper = [key for key in keys if isinstance(here[key], dict | list) and here[key]]
        if not deeper or data.draw(st.booleans(), "stop"):
            break
        here = here[data.draw(st.sampled_from(deeper), "step")]
    if isinstance(here, dict) and data.draw(st.booleans(), "new key"):
        here[data.draw(names, "key")] = data.draw(json_values, "value")
    elif keys:
        key = data.draw(st.sampled_from(keys), "key")
        if data.draw(st.booleans(), "delete"):
            del here[key]
        else:
            here[key] = data.draw(json_values, "value")
    value = json.loads(json.dumps(value))
    try:
        codec.from_json(value)
        taken = True
    except ManifestError:
        taken = False
    assert taken == VALIDATOR.is_valid(value)


def spoil(**changes: Any) -> dict[str, Any]:
    return {**small(), **changes}


def spoil_app(**changes: Any) -> dict[str, Any]:
    value = small()
    value["apps"]["one"] |= changes
    return value


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD = {
    "format": (lambda: spoil(format="other"), "not a manifest"),
    "list": (lambda: [], "not a manifest"),
    "version_newer": (lambda: spoil(version=2), "expected 1, found 2\nhint: a newer kos-tool"),
    "version_true": (lambda: spoil(version=True), "expected 1, found True"),
    "unknown_key": (lambda: spoil(colour=1), "unknown key 'colour'"),
    "unknown_app_key": (lambda: spoil_app(colour=1), "apps.one: unknown key 'colour'"),
    "unknown_option": (lambda: spoil(options={"colour": 1}), "options: unknown key 'colour'"),
    "missing": (lambda: {k: v for k, v in small().items() if k != "apps"}, "apps is missing"),
    "name_long": (lambda: spoil(name="a" * 33), "33 characters are too many, at most 32"),
    "name_case": (lambda: spoil(name="Test"), "a system's name"),
    "name_newline": (lambda: spoil(name="test\n"), "a system's name"),
    "release_long": (lambda: spoil(release="1" * 65), "65 characters"),
    "platform_long": (lambda: spoil(platform="a" * 129), "129 characters"),
    "apps_many": (lambda: spoil(apps={f"a{n}": {} for n in range(1025)}), "1025 entries are too many"),
    "servers_many": (lambda: spoil(msg_servers={f"m{n}": {"ports": []} for n in range(17)}), "17 entries"),
    "ports_many": (
        lambda: spoil(msg_servers={"msg0": {"ports": [f"p{n}" for n in range(4097)]}}),
        "4097 items",
    ),
    "ports_twice": (lambda: spoil(msg_servers={"msg0": {"ports": ["a", "a"]}}), "'a' is listed twice"),
    "grants_many": (
        lambda: spoil_app(access={"msg0": {f"p{n}": {"role": "client"} for n in range(1025)}}),
        "1025 entries",
    ),
    "role": (lambda: spoil_app(access={"msg0": {"a": {"role": "root"}}}), "one of client, server"),
    "dangling_port": (lambda: spoil_app(access={"msg0": {"b": {"role": "client"}}}), "msg0.b: no such port"),
    "dangling_server": (lambda: spoil_app(access={"x": {"a": {"role": "client"}}}), "x: no such message"),
    "two_servers": (
        lambda: spoil(apps={**small()["apps"], "two": small()["apps"]["one"]}),
        "is served by one already",
    ),
    "app_named_as_server": (
        lambda: spoil(apps={"msg0": {**small()["apps"]["one"], "access": {}}}),
        "this name is taken",
    ),
    "arguments_many": (lambda: spoil_app(arguments=[""] * 65), "65 items, expected 0 to 64"),
    "argument_long": (lambda: spoil_app(arguments=["a" * 4097]), "4097 characters"),
    "argument_nul": (lambda: spoil_app(arguments=["a\0b"]), "expected text"),
    "argument_surrogate": (lambda: spoil_app(arguments=["\ud800"]), "without surrogates"),
    "environ_many": (lambda: spoil_app(environ={f"A{n}": "" for n in range(65)}), "65 entries"),
    "environ_name": (lambda: spoil_app(environ={"A=B": ""}), "an environment variable's name"),
    "environ_name_long": (lambda: spoil_app(environ={"A" * 65: ""}), "65 characters"),
    "environ_value_long": (lambda: spoil_app(environ={"A": "a" * 4097}), "4097 characters"),
    "priority_high": (lambda: spoil_app(priority=256), "from 0 to 255, found 256"),
    "priority_true": (lambda: spoil_app(priority=True), "from 0 to 255, found True"),
    "priority_half": (lambda: spoil_app(priority=1.5), "from 0 to 255, found 1.5"),
    "memory_none": (lambda: spoil_app(memory=0), "from 1 to"),
    "memory_big": (lambda: spoil_app(memory=(1 << 40) + 1), "from 1 to"),
    "processes_many": (lambda: spoil_app(processes=65537), "from 1 to 65536"),
    "descriptors_many": (lambda: spoil_app(descriptors=65537), "from 1 to 65536"),
    "restart_policy": (lambda: spoil_app(restart={"policy": "maybe"}), "one of never, on-failure, always"),
    "restart_window": (
        lambda: spoil_app(restart={**small()["apps"]["one"]["restart"], "window": 86400.5}),
        "from 0 to 86400",
    ),
    "resources_many": (lambda: spoil_app(resources=[{"type": "dma"}] * 65), "65 items"),
    "resource_unknown": (lambda: spoil_app(resources=[{"type": "gpu"}]), "found 'gpu'"),
    "resource_key": (lambda: spoil_app(resources=[{"type": "dma", "x": 1}]), "unknown key 'x'"),
    "gpio_lines_many": (
        lambda: spoil_app(resources=[{"type": "gpio", "chip": "g", "lines": list(range(65))}]),
        "65 items, expected 1 to 64",
    ),
    "gpio_line_high": (
        lambda: spoil_app(resources=[{"type": "gpio", "chip": "g", "lines": [1024]}]),
        "from 0 to 1023",
    ),
    "interrupt_high": (lambda: spoil_app(resources=[{"type": "interrupt", "number": 1024}]), "to 1023"),
    "storage_big": (lambda: spoil_app(resources=[{"type": "storage", "size": (1 << 44) + 1}]), "from 1 to"),
    "mmio_high": (lambda: spoil_app(resources=[{"type": "mmio", "base": 1 << 48, "size": 1}]), "from 0 to"),
    "image_kind": (lambda: spoil_app(image={"kind": "java"}), "found 'java'"),
    "image_upwards": (lambda: spoil_app(image={"kind": "c", "path": "a/../../b"}), "inside the project"),
    "image_absolute": (lambda: spoil_app(image={"kind": "c", "path": "/etc"}), "inside the project"),
    "image_path_long": (lambda: spoil_app(image={"kind": "c", "path": "a" * 1025}), "1025 characters"),
    "image_sha": (
        lambda: spoil_app(image={"kind": "c", "sha256": "A" * 64, "size": 1, "entry": "bin/x"}),
        "SHA",
    ),
    "image_size": (
        lambda: spoil_app(image={"kind": "c", "sha256": "a" * 64, "size": (4 << 30) + 1, "entry": "bin/x"}),
        "from 0 to",
    ),
    "image_entry_escapes": (
        lambda: spoil_app(image={"kind": "c", "sha256": "a" * 64, "size": 1, "entry": "bin/../x"}),
        "a program such as",
    ),
    "service_elsewhere": (
        lambda: spoil_app(image={"kind": "service", "entry": "os:system"}),
        "a service's entry",
    ),
    "config_keys_many": (lambda: spoil_app(config={str(n): 1 for n in range(1025)}), "1025 keys"),
    "config_items_many": (lambda: spoil_app(config={"a": [0] * 4097}), "4097 items"),
    "config_text_long": (lambda: spoil_app(config={"a": "a" * 16385}), "16385 characters"),
    "config_key_long": (lambda: spoil_app(config={"a" * 129: 1}), "129 characters"),
    "config_number_big": (lambda: spoil_app(config={"a": 1 << 53}), "a number of at most"),
    "config_deep": (lambda: spoil_app(config={"a": nested(16)}), "nested too deep, at most 16"),
    "deep": (lambda: nested(33), "nested too deep, at most 32"),
    "where_long": (lambda: spoil_app(where="a" * 512 + ":1"), "514 characters"),
    "boot_attempts": (lambda: spoil(options={"boot_attempts": 16}), "from 0 to 15"),
    "tunnel_ip": (
        lambda: spoil(options={"tunnel_ips": {"one": {"address": "1.2.3.400", "mask": "", "gateway": ""}}}),
        "an IPv4 address",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_manifest_is_refused(fault: str):
    make, message = BAD[fault]
    with pytest.raises(ManifestError) as caught:
        load(make())
    assert message in str(caught.value)
    assert caught.value.where == "manifest.json"


def test_the_largest_of_each_limit_is_taken():
    app = spoil_app(
        arguments=["a" * limits.ARGUMENT_MAX] * limits.ARGUMENTS_MAX,
        config={"a": nested(limits.CONFIG_DEPTH_MAX - 2), "b": limits.WHOLE_MAX},
        priority=limits.PRIORITY_MAX,
    )
    assert load(app)
    assert load(spoil(name="a" * limits.NAME_MAX))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"a":1,"a":2}', "'a' appears twice"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b"1" * 5000, "too many digits"),
        (b"[" * 1_000_000, "nested too deep"),
        (b" " * (limits.MANIFEST_BYTES_MAX + 1), "bytes are too many"),
    ],
)
def test_what_is_not_json_is_refused(data: bytes, message: str):
    with pytest.raises(ManifestError, match=message):
        codec.load(data)


def test_brackets_in_text_are_not_depth():
    assert load(spoil_app(config={"a": '[[{"\\' * 100}))


@pytest.mark.parametrize("data", [b'"' + rb"\"" * 4_000_000, b'{"a":' + b'"[' * 4_000_000])
def test_unfinished_text_costs_no_more_than_its_length(data: bytes):
    # A search that began again at each quote of these 8 MB would take hours: the test's own limit ends it.
    with pytest.raises(ManifestError):
        codec.load(data)


def test_a_checker_may_read_dangling_references():
    value = json.dumps(spoil_app(access={"msg0": {"b": {"role": "client"}}})).encode()
    assert codec.load(value, dangling_ok=True).apps["one"].access["msg0"]["b"].role == "client"


def test_a_manifest_that_nobody_could_read_is_not_written():
    config = {str(n): "a" * limits.CONFIG_TEXT_MAX for n in range(600)}
    manifest = Context("test").put_app(App("one", PythonImage("one"), config=config)).manifest()
    with pytest.raises(ManifestError, match="is too big"):
        codec.dump(manifest)


def test_equal_systems_have_equal_bytes():
    first = Context("t").put_msg_server("msg0").put_port("a", "msg0").put_port("b", "msg0")
    second = Context("t").put_msg_server("msg0").put_port("b", "msg0").put_port("a", "msg0")
    apps = [App(name, PythonImage(name), where="s.py:1") for name in ("one", "two")]
    for app in apps:
        first = first.put_app(app)
    for app in reversed(apps):
        second = second.put_app(app)
    assert codec.dump(first.manifest()) == codec.dump(second.manifest())
