"""How a Python app starts, what it knows of itself, and what it may import."""

from __future__ import annotations

import json
import mmap
import os
import selectors
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kos.app.shared_memory import atomic_add, futex_wake
from tests.app.system import SOURCE, system

BOOT = f"import sys; sys.path += [{str(SOURCE)!r}, %r]; import runpy; "
RUN = BOOT + "runpy.run_module('kos.app.main', None, '__main__', True)"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start an app as the supervisor does, its image being `folder`."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", RUN % str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={"KOS_APP_NAME": "demo", **environment},
    )


def test_argv_is_the_apps_name_and_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text("import sys\ndef main(): print(sys.argv)\n")
    done = run(tmp_path, "demo:main", "one", "two")
    assert (done.returncode, done.stdout) == (0, "['demo', 'one', 'two']\n")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("def main(): raise ValueError('a bug')", 1, "ValueError: a bug"),
        ("def main(): return 7", 7, ""),
        ("import sys\ndef main(): sys.exit('a reason')", 1, "a reason"),
        ("def other(): pass", 1, "has no attribute 'main'"),
        ("import nowhere", 1, "No module named 'nowhere'"),
        ("def main(", 1, "SyntaxError"),
    ],
)
def test_the_end_of_the_app_is_the_end_of_the_process(
    tmp_path: Path, code: str, status: int, said: str
) -> None:
    (tmp_path / "demo.py").write_text(code + "\n")
    done = run(tmp_path, "demo:main")
    assert done.returncode == status
    assert said in done.stderr


@pytest.mark.parametrize("arguments", [(), ("demo",), ("demo:",), (":main",)])
def test_an_entry_that_is_none_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "MODULE:FUNCTION" in done.stderr


def test_config_and_name_come_from_the_supervisor(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"interval": 5}))
    (tmp_path / "demo.py").write_text("from kos import app\ndef main(): print(app.name(), app.config())\n")
    done = run(tmp_path, "demo:main", KOS_CONFIG=str(tmp_path / "config.json"))
    assert done.stdout == "demo {'interval': 5}\n"


def test_importing_the_api_imports_nothing_slow(tmp_path: Path) -> None:
    slow = {"asyncio", "dataclasses", "typing", "json", "socket", "subprocess", "inspect", "logging"}
    code = f"import sys, kos.app, kos.app.log\ndef main(): print(sorted({slow!r} & set(sys.modules)))\n"
    (tmp_path / "demo.py").write_text(code)
    assert run(tmp_path, "demo:main").stdout == "[]\n"


def test_without_a_log_server_lines_go_to_the_console(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text("from kos.app import log\ndef main(): log.warn('careful')\n")
    done = run(tmp_path, "demo:main")
    assert (done.returncode, done.stdout) == (0, "warn: careful\n")


LOG = """
from kos import app
server = app.Server()
server.bind("kos_log_protocol", lambda request: print(request.param, request.payload.decode()))
app.ready()
server.serve()
"""


def test_a_log_line_reaches_the_server_even_after_its_restart() -> None:
    with system(msg0=["kos_log_protocol"]) as running:
        first = running.start_python("log", {"kos_log_protocol": "server"}, LOG)
        running.servers["msg0"].event("ready", app="log")
        code = "import sys\nfrom kos.app import log\nfor line in sys.stdin: log.info(line.strip())\n"
        writer = running.start_python("writer", {"kos_log_protocol": "client"}, code)
        writer.tell("one")
        assert first.line() == "1 one"
        first.kill()
        running.servers["msg0"].event("disconnected", app="log")
        writer.tell("nobody is there")
        assert writer.line() == "info: nobody is there"
        second = running.start_python("log", {"kos_log_protocol": "server"}, LOG + "\n")
        running.servers["msg0"].event("ready", app="log")
        writer.tell("two")
        assert second.line() == "1 two"


RNG = """
import os
from kos import app
server = app.Server()
server.bind("kos_rng_protocol", {1: lambda request: (app.Status.OK, 0, os.urandom(request.param))})
app.ready()
server.serve()
"""


def test_random_bytes_come_in_any_number() -> None:
    with system(msg0=["kos_rng_protocol"]) as running:
        running.start_python("rng", {"kos_rng_protocol": "server"}, RNG)
        code = "from kos import app\nfor n in (0, 1, 4096, 10000): print(len(app.random(n)))\n"
        client = running.start_python("client", {"kos_rng_protocol": "client"}, code)
        assert client.finish() == (0, "0\n1\n4096\n10000\n")


def test_a_shared_buffer_is_written_here_and_read_there() -> None:
    server = """
from kos import app
server = app.Server(accept_tokens=True)
def handle(request):
    view = request.token.buffer()
    try:
        view[0] = 1
    except TypeError:
        print(len(view), bytes(view[:5]), "read-only")
server.bind("share", handle, flags=app.FLAG_SEND_TOKEN)
app.ready()
server.serve()
"""
    client = """
from kos import app
token, memory = app.create_buffer(1 << 20)
memory[:5] = b"hello"
app.connect("share").call(1, token=token)
"""
    with system(msg0=["share"]) as running:
        reader = running.start_python("reader", {"share": "server"}, server)
        assert running.start_python("writer", {"share": "client"}, client).finish() == (0, "")
        assert reader.line() == "1048576 b'hello' read-only"


def test_a_signal_handler_that_raises_ends_a_wait() -> None:
    code = """
import signal
from kos import app
class Stop(Exception): pass
def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop
server = app.Server()
server.bind("wait", lambda request: None)
try:
    signal.signal(signal.SIGTERM, stop)
    print("serving")
    server.serve()
except Stop:
    print("stopped")
"""
    with system(msg0=["wait"]) as running:
        app = running.start_python("waiter", {"wait": "server"}, code)
        assert app.line() == "serving"
        # A signal that comes just before the wait begins is noticed at the next one only: send until it is.
        with selectors.DefaultSelector() as selector:
            selector.register(app.process.stdout, selectors.EVENT_READ)
            for _attempt in range(100):
                app.process.terminate()
                if selector.select(0.2):
                    break
        assert app.finish() == (0, "stopped\n")


def test_atomic_words_of_a_buffer() -> None:
    memory = mmap.mmap(-1, 4096)
    assert [atomic_add(memory, 12, 1), atomic_add(memory, 12, 2**32 - 1), atomic_add(memory, 12, -1)] == [
        1,
        0,
        2**32 - 1,
    ]
    assert futex_wake(memory, 12) == 0
    for offset in (-4, 2, 4093, 4096):
        with pytest.raises(ValueError, match="multiple of 4 inside the buffer"):
            atomic_add(memory, offset, 1)
    with pytest.raises(BufferError):
        atomic_add(bytes(8), 0, 1)
    threads = [
        threading.Thread(target=lambda: [atomic_add(memory, 0, 1) for _ in range(10_000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int.from_bytes(memory[:4], sys.byteorder) == 40_000


def test_the_extension_needs_no_header_of_python() -> None:
    """The hand-written declarations keep to the stable ABI: no name that a later version lacks."""
    from kos.build.native import SOURCES

    assert "Python.h>" not in "".join(path.read_text() for path in (SOURCES / "python").glob("*.c"))
    assert os.path.basename(sys.modules["kos.app._native"].__file__) == "_native.abi3.so"


def test_an_app_without_a_port_is_told_why_nobody_hears_it(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text("from kos import app\ndef main(): app.ready()\n")
    done = run(tmp_path, "demo:main")
    assert done.returncode == 1 and "UNAVAILABLE" in done.stderr
    assert "hint: an app to which the manifest gives no port has no message server" in done.stderr
