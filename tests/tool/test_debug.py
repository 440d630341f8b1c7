"""`kos-tool toolbox.debug`: gdb on a C app, with the symbols of its project, here and through a server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos.build.system import Builder
from kos.keys import pairs
from kos.manifest.load import load_project
from kos.tool import runs
from kos.tool.request import install_built
from tests.device.systems import RunningSystem
from tests.server.running import running, wait_for

pytestmark = pytest.mark.timeout(600)
SYSTEM = """
from kos.manifest import App, CImage, Context, Restart, System

class Meter(System):
    release = "1.0"

    def setup(self, ctx: Context) -> Context:
        ctx = ctx.set_kos_options(debugger=True).put_app(App("meter", CImage("meter"), debug=True))
        return ctx.put_app(App("broken", CImage("broken"), restart=Restart("never")))
"""
BROKEN_LISTS = """
cmake_minimum_required(VERSION 3.20)
project(broken C)
find_package(Kos REQUIRED)
add_executable(broken broken.c)
target_link_libraries(broken Kos::kos)
install(TARGETS broken)
"""
BROKEN = """
#include <kos.h>
#include <stdio.h>
__attribute__((noinline)) static int innermost(volatile int *p) { return *p + 1; }
__attribute__((noinline)) static int outer(volatile int *p) { return innermost(p) + 2; }
int main(void) {
    fputs("about to break\\n", stderr);
    kos_app_ready();
    return outer((volatile int *)64);
}
"""
LISTS = """
cmake_minimum_required(VERSION 3.20)
project(meter C)
add_executable(meter meter.c)
install(TARGETS meter)
"""
METER = """
#include <stdio.h>
#include <unistd.h>

static int level = 7;

static __attribute__((noinline)) int measure(int step) {
    level += step;
    return level;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        printf("level %d\\n", measure(3));
        usleep(100000);
    }
}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project, whose system runs."""
    if shutil.which("gdbserver") is None or shutil.which("gdb") is None:
        pytest.skip("needs gdb and gdbserver: apt-get install gdb-multiarch gdbserver")
    folder = tmp_path_factory.mktemp("project")
    files = {"system.py": SYSTEM, "meter/CMakeLists.txt": LISTS, "meter/meter.c": METER}
    files |= {"broken/CMakeLists.txt": BROKEN_LISTS, "broken/broken.c": BROKEN}
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        with runs.new("meter") as directory:
            install_built(Builder(load_project(folder), say=print).build(), directory)
            pairs.generate(directory / "keys", sorted(pairs.DEVICE_KEYS.items()))
            with RunningSystem(directory) as system:
                system.wait_for("| level ", times=3)
                system.wait_for("broken: killed by SIGSEGV")
                patch.setenv("DEBUGINFOD_URLS", "")
                yield folder
                system.wait_for("| level ", times=sum("| level" in line for line in system.lines) + 3)
                assert system.status()["apps"]["meter"]["restarts"] == 0


def debug(project: Path, *commands: str, options: tuple[str, ...] = ()) -> str:
    command = [sys.executable, "-m", "kos.tool", "toolbox.debug", "meter", "--project", str(project)]
    command += options
    for each in commands:
        command += ["-x", each]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL, check=False
    )
    return done.stdout + done.stderr


def test_with_the_symbols_that_the_project_gives(project: Path) -> None:
    said = debug(project, "break measure", "continue", "backtrace", "print level", "detach")
    assert re.search(r"Breakpoint 1, measure \(step=(step@entry=)?3\) at .*meter\.c:8", said), said
    assert re.search(r"#1 .* main \(\) at .*meter\.c:1[0-9]", said), said
    assert re.search(r"\$1 = \d+", said) and "warning: meter runs" not in said, said


def test_other_sources_than_those_that_run_are_told(project: Path) -> None:
    source = project / "meter" / "meter.c"
    source.write_text(METER.replace("step;", "step + 1;"))
    try:
        assert "warning: meter runs from other sources than these" in debug(project, "detach")
    finally:
        source.write_text(METER)


def test_through_a_server(project: Path, tmp_path: Path) -> None:
    directory = runs.find("meter")
    with running(tmp_path, auto_accept=True) as studio, studio.client() as client:
        command = [sys.executable, "-m", "kos.services.admin.beside", "--run", str(directory)]
        command += ["--key", str(directory / "keys" / "server.key"), "--name", "meter-1"]
        agent = subprocess.Popen([*command, "--server", f"127.0.0.1:{studio.bus_port}"])
        try:
            path = "/api/v1/devices"
            device = wait_for(lambda: client.get(path).json()["devices"], "the device appears")[0]["id"]
            wait_for(lambda: client.get(f"{path}/{device}").json()["apps"], "it reports")
            options = ("--device", "meter-1", "--server", studio.url)
            said = debug(project, "break measure", "continue", "backtrace", "detach", options=options)
            assert re.search(r"#1 .* main \(\) at .*meter\.c:1[0-9]", said), said
            audit = [one["action"] for one in client.get("/api/v1/audit").json()]
            assert "device.stream.open" in audit
        finally:
            agent.terminate()
            agent.wait(90)


def test_a_crash_says_where(project: Path) -> None:
    runs.connect("meter").close()
    done = subprocess.run(
        [sys.executable, "-m", "kos.tool", "post_mortem", "meter", "--app", "broken", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (record,) = json.loads(done.stdout)
    assert record["signal"] == "SIGSEGV" and record["lines"] == ["about to break"]
    head, registers, called = record["crash"]
    assert head.startswith("SIGSEGV address=0x40 pc=0x") and "sp=0x" in registers
    # What a developer makes of it: the names of the functions.
    program, _image = Builder(load_project(project)).symbols("broken")
    addresses = [re.search(r"pc=(0x[0-9a-f]+)", head)[1], *called.removeprefix("called from ").split()]
    commands = [part for address in addresses[:2] for part in ("-ex", f"info symbol {address}")]
    names = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", str(program), *commands], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [name.split()[0] for name in names] == ["innermost", "outer"], names
    shown = subprocess.run(
        [sys.executable, "-m", "kos.tool", "post_mortem", "meter", "--number", str(record["number"])],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "broken: killed by SIGSEGV" in shown and "about to break" in shown
