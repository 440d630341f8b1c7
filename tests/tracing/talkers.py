"""A small system that traces: a station that serves, a sensor that calls and queues, and what they say."""

from __future__ import annotations

from pathlib import Path

from kos.build.system import Builder
from kos.manifest.load import load_project

SYSTEM = """
from kos.manifest import App, Context, PythonImage, System
from kos.systems import Poukai


class Talkers(System):
    base = Poukai(self_test=False, tracing=True)

    def setup(self, ctx: Context) -> Context:
        return (
            ctx.set_kos_options(disable_signing=True)
            .put_port("weather_protocol", Poukai.msg_server)
            .put_app(App("station", PythonImage("station")))
            .serve_protocol("station", "weather_protocol", Poukai.msg_server)
            .connect_protocol("station", Poukai.log)
            .put_app(App("wx", PythonImage("wx")))
            .connect_protocol("wx", "weather_protocol", Poukai.msg_server)
        )
"""
STATION = """
from kos import app
from kos.app import log

def main():
    server = app.Server()

    def handle(request):
        if not request.queued:
            log.debug(f"reading {request.param}")
        return b"thanks"

    server.bind("weather_protocol", handle)
    app.ready()
    server.serve()
"""
WX = """
import time
from kos import app

def main():
    station = app.connect("weather_protocol")
    app.ready()
    print("talking", flush=True)
    number = 0
    while True:
        number += 1
        app.trace_mark(42, number)
        station.call(7, number, b"22.5 C")
        station.queue_send(8, b"drift")
        time.sleep(0.05)
"""


def project(folder: Path) -> Path:
    """The system's project."""
    made = folder / "talkers"
    for name, text in (("station", STATION), ("wx", WX)):
        (made / name).mkdir(parents=True)
        (made / name / f"{name}.py").write_text(text)
        (made / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\n')
    (made / "system.py").write_text(SYSTEM)
    return made


def build(folder: Path) -> Builder:
    """The system, ready to be built."""
    return Builder(load_project(project(folder)), "host", may_lock=False, say=lambda _text: None)
