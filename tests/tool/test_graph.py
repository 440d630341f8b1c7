"""The graph of a system, as text and as a picture."""

from __future__ import annotations

import shutil
from xml.etree import ElementTree

import pytest

from kos.manifest import App, Context, PythonImage, System
from kos.tool import graph
from tests.build.projects import SYSTEM, put
from tests.tool.running import kos_tool


class Two(System):
    def setup(self, ctx: Context) -> Context:
        ctx = ctx.put_msg_server("msg0").put_port("weather", "msg0").put_port("idle", "msg0")
        for name in ("station", "sensor", "alone"):
            ctx = ctx.put_app(App(name, PythonImage(f"apps/{name}")))
        return ctx.serve_protocol("station", "weather", "msg0").connect_protocol("sensor", "weather", "msg0")


def test_text():
    assert graph.as_text(Two().manifest()).splitlines() == [
        "two 0.0.0 on host",
        "msg0",
        "  idle     nobody ← nobody",
        "  weather  station ← sensor",
        "without ports",
        "  alone",
    ]


def test_dot():
    text = graph.as_dot(Two().manifest())
    assert '"sensor" -> "station" [label="weather"];' in text
    assert '"alone" [' in text


def test_a_picture(tmp_path):
    if shutil.which("dot") is None:
        pytest.skip("needs graphviz: apt-get install graphviz")
    put(tmp_path, system_py=SYSTEM)
    done = kos_tool("graph", tmp_path, "--svg", tmp_path / "g.svg")
    assert done.returncode == 0 and done.stdout.startswith("small 0.0.0 on host")
    titles = [e.text for e in ElementTree.parse(tmp_path / "g.svg").iter("{http://www.w3.org/2000/svg}title")]
    assert "station" in titles
