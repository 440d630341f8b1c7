"""Each example, built and run by kos-tool as its README says."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.running import Run, Start
from tests.services.weather import was_so

pytestmark = [pytest.mark.group("examples"), pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Callable[..., Run]:
    """Runs a copy of an example: a build writes beside the sources."""

    def copy_and_start(example: str, **environ: str) -> Run:
        project = tmp_path / example
        shutil.copytree(EXAMPLES / example, project, ignore=shutil.ignore_patterns("build"))
        return start(project, **environ)

    return copy_and_start


def test_hello(run: Callable[..., Run]) -> None:
    system = run("hello")
    system.expect(r"\| hello_c +\| answer: hello hello_c, and hello world$")
    system.expect(r"6 of 6 apps ready")
    system.expect(r"\| hello_python +\| hello_c says: world$")


def test_protobuf_example(run: Callable[..., Run]) -> None:
    system = run("protobuf_example")
    system.wait_for(r"6 of 6 apps ready")
    for line in (
        "6 values: -5 to 9 mm, mean 1.83",
        "0 values: 0 to 0 mm, mean 0.00",
        "2 values: -2147483648 to 2147483647 mm, mean -0.50",
        "257 values: BAD_REQUEST",
    ):
        system.expect(rf"\| asker +\| {re.escape(line)}$")


def test_the_weather_station_measures_and_logs(run: Callable[..., Run]) -> None:
    began = time.time()
    system = run("weather_station", KOS_CONFIG_SENSOR__INTERVAL="50")
    system.wait_for(r"7 of 7 apps ready")
    reading = r"log_server +\| info  station: reading (\d+): (\S+) °C, (\S+) hPa, (\S+) % from wx_sensor$"
    first, second = system.wait_for(reading), system.wait_for(reading)
    assert int(second[1]) == int(first[1]) + 1
    # What comes out behind register model, bus, C driver and protobuf is what the environment was.
    temperature, pressure, humidity = map(float, second.groups()[1:])
    assert was_so(0, began, temperature, pressure * 100, humidity), second[0]


def test_a_station_that_fails_is_restarted_alone(run: Callable[..., Run]) -> None:
    system = run("weather_station", KOS_CONFIG_SENSOR__INTERVAL="50", KOS_CONFIG_STATION__CRASH_AFTER="3")
    system.wait_for(r"\| station +\| failing on purpose after 3 readings")
    system.expect(r"station: exited with status 1")
    system.expect(r"info  station: reading 5: ")
    assert not system.seen(r"wx_sensor: (exited|killed)")


def test_an_intruder_is_refused_and_reported(run: Callable[..., Run]) -> None:
    system = run("weather_station", KOS_CONFIG_DEMO__INTRUDER="true")
    system.wait_for(r"8 of 8 apps ready")
    system.expect(r"intruder +\| processes to be seen: ")
    system.expect(r"supervisor +\| intruder: request of weather_protocol refused")
    system.expect(r"intruder +\| kos_rng_protocol: granted")
    assert len(system.seen(r"intruder +\| \w+: refused, NOT_FOUND$")) == 5
    assert not system.seen("CONNECTED")


@pytest.mark.parametrize(
    ("proto", "generated"),
    [
        ("weather_station/apps/wx_sensor/weather.proto", "weather_station/apps/station/weather_pb2.py"),
        (
            "protobuf_example/apps/statistics/statistics.proto",
            "protobuf_example/apps/asker/statistics_pb2.py",
        ),
    ],
)
def test_generated_code_fits_its_messages(tmp_path: Path, proto: str, generated: str) -> None:
    from grpc_tools import protoc

    source = EXAMPLES / proto
    assert protoc.main(["protoc", f"-I{source.parent}", f"--python_out={tmp_path}", source.name]) == 0
    made = (tmp_path / Path(generated).name).read_text()
    serialized = r"AddSerializedFile\((.*)\)"
    kept = re.search(serialized, (EXAMPLES / generated).read_text())
    wanted = re.search(serialized, made)
    assert kept and wanted
    assert kept[1] == wanted[1], f"generate {generated} anew, as its README says"


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_every_example_says_how_to_run_it(example: str) -> None:
    readme = (EXAMPLES / example / "README.md").read_text()
    assert f"./kos-tool run examples/{example}" in readme
