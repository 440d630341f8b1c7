"""A traced system at work: C and Python apps, arrows between them, lives, processor time, restarts."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.abi.services import PORT_TRACE_ADMIN
from tests.device.systems import app
from tests.tracing.running import CALLER, caller, echo, started, traced, watching

BOTH = {("caller", "echo", "message"), ("echo", "caller", "answer")}
USERS = [pytest.param(False, id="as-we-are")]
if os.geteuid() == 0:
    USERS.append(pytest.param(True, id="ordinary-user"))


@pytest.mark.parametrize("ordinary_user", USERS)
def test_a_python_app_calls_a_c_app(tmp_path: Path, ordinary_user: bool) -> None:
    apps = {"echo": echo(tmp_path), "caller": caller()}
    with started(tmp_path, apps, ordinary_user=ordinary_user) as system, watching(system) as watch:
        watch.until(lambda seen: seen.arrows() >= BOTH, "arrows both ways")
        watch.until(
            lambda seen: {("caller", "on processor %"), ("echo", "on processor %")} <= seen.titles(),
            "how long the apps ran",
        )
        assert {
            ("caller", "call echo 7"),
            ("caller", "mark 42"),
            ("echo", "serve echo 7"),
            ("echo", "sleep"),
        } <= watch.titles()
        call = next(one for one in watch.events if one["name"] == "call echo 7")
        assert call["args"]["to"] == "echo" and call["args"]["answer"] == "OK"
        assert "payload" not in call["args"]
        assert watch.timeline.invalid == {}


def test_payloads_are_recorded_only_where_the_manifest_says_so(tmp_path: Path) -> None:
    apps = {"echo": echo(tmp_path), "caller": caller()}
    with started(tmp_path, apps, unsafe_trace_payloads=True) as system, watching(system) as watch:
        watch.until(
            lambda seen: any(
                one["args"].get("answer_payload") == "ping" for one in seen.events if "args" in one
            ),
            "what the echo said",
        )


def test_an_app_that_is_started_again_goes_on_under_its_name(tmp_path: Path) -> None:
    with started(tmp_path, {"echo": echo(tmp_path), "caller": caller()}) as system, watching(system) as watch:
        watch.until(lambda seen: seen.arrows() >= BOTH, "arrows both ways")
        system.restart("caller")
        watch.until(lambda seen: ("caller", "ended") in seen.titles(), "its end")
        watch.forget()
        watch.until(lambda seen: seen.arrows() >= BOTH, "arrows after the restart")


def test_what_an_app_did_before_it_ended_is_there_for_who_looks_later(tmp_path: Path) -> None:
    source = """
        from kos import app
        def main():
            app.ready()
            app.trace_mark(4711, 1)
            raise SystemExit(3)
    """
    with started(tmp_path, {"crasher": caller(source)}) as system:
        system.wait_for("crasher: exited with status 3")
        with watching(system) as watch:
            watch.until(lambda seen: ("crasher", "mark 4711") in seen.titles(), "its last words")
            assert ("crasher", "ended") in watch.titles()


def test_the_trace_server_may_die_while_somebody_watches(tmp_path: Path) -> None:
    with started(tmp_path, {"echo": echo(tmp_path), "caller": caller()}) as system, watching(system) as watch:
        watch.until(lambda seen: seen.arrows() >= BOTH, "arrows both ways")
        os.kill(system.status()["apps"]["trace_server"]["pid"], signal.SIGKILL)
        system.wait_for("trace_server: ")
        killed_at = time.monotonic()
        watch.until(lambda seen: seen.arrows(killed_at) >= BOTH, "arrows after that")
        status = system.status()["apps"]
        assert status["caller"]["restarts"] == status["echo"]["restarts"] == 0


def test_two_may_watch_and_one_may_go(tmp_path: Path) -> None:
    with started(tmp_path, {"echo": echo(tmp_path), "caller": caller()}) as system:
        with watching(system) as first:
            first.until(lambda seen: seen.arrows() >= BOTH, "arrows for the first")
            with watching(system) as second:
                second.until(lambda seen: seen.arrows() >= BOTH, "arrows for the second")
            first.forget()
            first.until(lambda seen: seen.arrows() >= BOTH, "arrows after the second has gone")
            assert first.timeline.lost == {}


def test_an_app_that_is_not_connected_leaves_nothing(tmp_path: Path) -> None:
    apps = {"echo": echo(tmp_path), "caller": caller()}
    apps["quiet"] = app(CALLER, access={"msg0": {"echo": {"role": "client"}}})
    with started(tmp_path, apps) as system, watching(system) as watch:
        watch.until(lambda seen: seen.arrows() >= BOTH, "arrows both ways")
        assert not {name for who, name in watch.titles() if who == "quiet" and "call" in name}


def test_a_system_that_does_not_trace_says_how_to(tmp_path: Path) -> None:
    with started(tmp_path, {}, tracing=False) as system, system.client() as client:
        with pytest.raises(KosError, match="does not trace") as problem:
            client.trace()
        assert "Poukai(tracing=True)" in str(problem.value.hint)


def test_a_client_of_the_admin_port_reads_the_trace(tmp_path: Path) -> None:
    reader = """
        from kos import app
        def main():
            token = app.connect("kos_trace_admin_protocol")
            token.call(1)
            app.ready()
            text = b""
            while b'"rings":[["caller"' not in text and b',["caller"' not in text:
                text += bytes(token.call(2).payload)
            print("frames of", len(text) > 0)
            own = app.connect("kos_trace_protocol")
            print("own", bytes(own.call(1).payload).decode())
    """
    apps = {"echo": echo(tmp_path), "caller": caller(), "reader": caller(reader)}
    apps["reader"]["access"]["msg0"] |= {PORT_TRACE_ADMIN: {"role": "client"}}
    with started(tmp_path, apps) as system:
        system.wait_for("frames of True")
        line = system.wait_for("own {")
        counts = json.loads(line[line.index("{") :])
        assert counts["recorded"] > 0 and counts["dropped"] == 0


def test_the_supervisor_gives_the_trace_to_no_app_but_to_the_trace_server(tmp_path: Path) -> None:
    asker = """
        import json, os, socket
        from kos import app
        def main():
            supervisor = socket.socket(fileno=int(os.environ["KOS_SUPERVISOR"])).makefile("rwb")
            for op in ("trace", "trace_provide", "trace_frame", "sched"):
                supervisor.write(json.dumps({"op": op}).encode() + b"\\n")
                supervisor.flush()
                print(op, json.loads(supervisor.readline())["ok"])
            app.ready()
    """
    apps = {"asker": traced(app(asker, resources=[{"type": "supervisor"}]))}
    with started(tmp_path, apps) as system:
        for operation in ("trace", "trace_provide", "trace_frame", "sched"):
            system.wait_for(f"| {operation} False")
