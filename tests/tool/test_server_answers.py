"""Each nested member of each answer of a server, in turn of another type: every command says so."""

from __future__ import annotations

import copy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kos.server.app import create_app
from kos.server.settings import Settings
from kos.tool.server_answers import ANSWERS, Each, fault, form_of
from tests.tool.sweep.attempt import attempt, refused
from tests.tool.sweep.entries import SERVER_ENTRIES
from tests.tool.sweep.places import place
from tests.tool.test_bad_servers import lines

__all__ = ["place"]

DOCUMENT = create_app(Settings(data=Path("unused"), product="fleet")).openapi()
BASE = "/api/v1"
# What the good command lines of the sweep name, and what ends a wait.
TEXTS = {
    "DeviceView": {"name": "pump 7", "update_state": "healthy"},
    "DeviceDetail": {"name": "pump 7", "update_state": "healthy"},
    "ReleaseView": {"version": "1.0"},
    "OverlayView": {"name": "faster"},
    "ChannelView": {"name": "on call"},
    "DeliveryView": {"state": "sent", "error": ""},
}
# What the server's description leaves open.
APP = {
    "state": "running",
    "restarts": 0,
    "memory": 1 << 20,
    "violations": 1,
    "network": {"sent": 3, "refused": 1},
}
OPEN = {
    "apps": {"station": APP},
    "assurance": {"findings": [{"rule": "x"}]},
    "document": {"apps": {"station": {"environ": {}}}},
    "plan": {"phases": ["10%", "100%"]},
    "settings": {"heartbeat": 5},
    "metrics": {"load": 1.5},
}
UNDESCRIBED = {
    "/whoami": {"name": "ada", "role": "admin", "server": {"product": "fleet", "version": "1.0"}},
    "/keys": {"announced": 1, "tunnels": [{"device": "x", "name": "pump 7", "network": "10.0.0.4/30"}]},
    "/devices/{device_id}/log": [{"id": 1, "at": 1, "boot": "x", "seconds": 1.5, "app": "a", "text": "b"}],
}
NO_JSON = ("server.data.export",)  # lines of text


def described(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The path as the server describes it, and the schema of its answer."""
    parts = (BASE + path).split("/")
    for known, methods in DOCUMENT["paths"].items():
        names = known.split("/")
        fits = len(names) == len(parts) and all(
            a == b or a[:1] == "{" for a, b in zip(names, parts, strict=True)
        )
        if fits and method.lower() in methods:
            answers = methods[method.lower()]["responses"]
            (good,) = [answer for code, answer in answers.items() if code[0] == "2"]
            return known.removeprefix(BASE), good.get("content", {}).get("application/json", {}).get(
                "schema", {}
            )
    raise AssertionError(f"the server has no {method} {path}")


def sample(schema: dict[str, Any], name: str = "", texts: dict[str, str] | None = None) -> Any:
    """A good answer of a schema."""
    if "$ref" in schema:
        title = schema["$ref"].rpartition("/")[2]
        return sample(DOCUMENT["components"]["schemas"][title], name, TEXTS.get(title))
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], name)
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {one: sample(form, one) if one not in (texts or {}) else texts[one]
                    for one, form in schema["properties"].items()}  # fmt: skip
        case "object":
            open_form = schema.get("additionalProperties")
            return copy.deepcopy(OPEN[name]) if open_form is True else {"healthy": sample(open_form)}
        case "array":
            return [sample(schema["items"])]
        case kind:
            return {"string": "x", "integer": 1, "number": 1.5, "boolean": True}[kind]


def good(method: str, path: str) -> Any:
    known, schema = described(method, path)
    return copy.deepcopy(UNDESCRIBED[known]) if known in UNDESCRIBED else sample(schema)


class Answering:
    """A server that gives good answers, but for the one that is set, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.wrong: dict[tuple[str, str], Any] = {}


@contextmanager
def answering() -> Iterator[tuple[str, Answering]]:
    state = Answering()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = urlsplit(self.path).path.removeprefix(BASE)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = (self.command, path)
            state.asked.append(asked)
            body = b""
            if self.command != "DELETE":
                body = json.dumps(state.wrong[asked] if asked in state.wrong else good(*asked)).encode()
            self.send_response(200 if body else 204)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", state
        finally:
            server.shutdown()
            thread.join()


Place = tuple[str | int, ...]


def members(found: Any, where: Place = ()) -> Iterator[Place]:
    """Every place in an answer, from the whole to the last member."""
    yield where
    inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for name, one in inside:
        yield from members(one, (*where, name))


def replaced(found: Any, where: Place, value: Any) -> Any:
    if not where:
        return value
    changed = copy.deepcopy(found)
    inside = changed
    for name in where[:-1]:
        inside = inside[name]
    inside[where[-1]] = value
    return changed


def others(value: Any) -> list[Any]:
    """Values of other types."""
    kinds = [7, "x", [], {}, None, [7], {"x": []}]
    return [one for one in kinds if type(one) is not type(value)][:4]


@pytest.mark.parametrize("name", [one for one in SERVER_ENTRIES if one not in NO_JSON])
def test_every_member_of_another_type(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, faults, count = lines(name, place), [], 0
    with answering() as (url, server):
        monkeypatch.setenv("KOS_SERVER_URL", url)
        words = [url if word == "x" and name == "server.login" else word for word in words]
        done = attempt(capfd, words)
        assert (done.code, done.err.count("error")) == (0, 0), done
        for asked in dict.fromkeys(server.asked):
            if asked[0] == "DELETE":
                continue
            answer, form = good(*asked), form_of(*asked)
            for where in members(answer):
                before = answer
                for one in where:
                    before = before[one]
                for value in others(before):
                    wrong = replaced(answer, where, value)
                    said = fault(form, wrong)
                    server.wrong = {asked: wrong}
                    if said is not None:
                        count += 1
                        found = refused(capfd, place, words, said)
                    else:  # nobody reads it
                        done = attempt(capfd, words)
                        found = [] if done.code == 0 else done.faults()
                    faults += [f"{asked} {where} {value!r}: {one}" for one in found]
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults[:20])
    assert count > 0


@pytest.mark.parametrize(
    ("method", "path", "form"), ANSWERS, ids=lambda one: one if isinstance(one, str) else ""
)
def test_the_server_describes_it_so(method: str, path: str, form: Any) -> None:
    answer = good(method, path)
    assert fault(form, answer) is None
    if path not in UNDESCRIBED:
        agrees(form, described(method, path)[1], path)


def agrees(form: Any, schema: dict[str, Any], where: str) -> None:
    """Whether the server promises each member that a command reads, with the same type."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(form, list) and "items" in schema:
        agrees(form[0], schema["items"], f"{where}[]")
    elif isinstance(form, dict) and "properties" in schema:
        for name, one in form.items():
            assert name in schema["required"], f"{where}.{name}"
            agrees(one, schema["properties"][name], f"{where}.{name}")
    elif isinstance(form, type | tuple) and "type" in schema:
        kinds = form if isinstance(form, tuple) else (form,)
        wanted = {
            str: "string",
            int: "integer",
            float: "number",
            bool: "boolean",
            list: "array",
            dict: "object",
        }
        assert schema["type"] in [wanted.get(kind) for kind in kinds], where
    elif isinstance(form, tuple):
        assert [one["type"] for one in schema["anyOf"]][1:] == ["null"] and type(None) in form, where
    else:
        assert isinstance(form, dict | Each | list), where


@pytest.mark.parametrize(
    ("form", "found", "said"),
    [
        (str, 7, "it: expected text, found a whole number"),
        (int, True, "it: expected a whole number, found true or false"),
        ([{"name": str}], [{"name": "x"}, {"name": []}], "it[1].name: expected text, found a list"),
        ({"a": {"b?": int}}, {"a": {"b": "x"}}, "a.b: expected a whole number, found text"),
        ({"a": {"b?": int}}, {"a": {}}, None),
        ({"a": str}, {}, "one without 'a'"),
        (Each(int), {"x\x1b": None}, "it['x\\x1b']: expected a whole number, found null"),
        ((int, float), "1", "it: expected a number, found text"),
        ((int, type(None)), None, None),
    ],
)
def test_a_fault_names_its_place(form: Any, found: Any, said: str | None) -> None:
    assert fault(form, found) == said
