"""kos-tool trace: the table, JSON, the file for Perfetto, one app of many, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tool.running import going_on, kos_tool
from tests.tool.test_run import pytestmark, runtime
from tests.tracing import talkers
from tests.tracing.chrome import check_document

__all__ = ["pytestmark", "runtime"]


def test_a_running_system_is_traced(tmp_path: Path, runtime: dict[str, str]) -> None:
    project, file = talkers.project(tmp_path), tmp_path / "trace.json"
    with going_on("run", project, output=tmp_path / "out", **runtime) as run:
        run.until_printed("| talking")

        def arrows() -> set[tuple[str, str]]:
            """Who spoke to whom in a trace; on a busy machine not all of them need be in a short one."""
            done = kos_tool("trace", "talkers", "--seconds", "1.5", "--output", file, **runtime)
            assert done.returncode == 0, done.stderr
            assert done.stdout.split()[:4] == ["app", "port", "calls", "served"]
            assert f"events in {file}" in done.stderr
            document = json.loads(file.read_text())
            check_document(document)
            events = document["traceEvents"]
            names = {one["pid"]: one["args"]["name"] for one in events if one["name"] == "process_name"}
            ends = {one["id"]: one["pid"] for one in events if one["ph"] == "f"}
            found = {(names[one["pid"]], names[ends[one["id"]]]) for one in events if one["ph"] == "s"}
            assert "weather_protocol" in done.stdout or ("wx", "station") not in found
            return found

        run.until("all to speak", lambda: {("wx", "station"), ("station", "log_server")} <= arrows())

        found: dict[str, Any] = {}

        def calls() -> int:
            done = kos_tool("trace", "--seconds", "1", "--app", "wx", "--json", **runtime)
            found.update(json.loads(done.stdout))
            return found["apps"].get("wx", {}).get("calls", 0)

        run.until("wx to call", calls)
        assert list(found["apps"]) == ["wx"]
        assert found["lost"] == {} and found["invalid"] == {}
        assert found["ports"][0]["port"] == "weather_protocol" and found["ports"][0]["p50"] > 0

        done = kos_tool("trace", "--seconds", "0.5", "--app", "nobody", **runtime)
        assert done.returncode == 1 and "no traced app 'nobody'" in done.stderr and "wx" in done.stderr
        done = kos_tool("trace", "--seconds", "0.5", "--output", tmp_path / "no" / "such", **runtime)
        assert done.returncode == 1 and "cannot be written" in done.stderr
        with going_on("trace", output=tmp_path / "traced", **runtime) as trace:
            trace.until_printed("tracing; Ctrl-C ends it")
            assert trace.interrupt() == 0
            assert "p50" in trace.text(), "what was seen until then is told"


def test_a_system_that_does_not_trace_says_how_to(tmp_path: Path, runtime: dict[str, str]) -> None:
    kos_tool("new.system", "small", cwd=tmp_path)
    with going_on("run", tmp_path / "small", output=tmp_path / "out", **runtime) as run:
        run.until_printed("apps ready after")
        done = kos_tool("trace", **runtime)
        assert done.returncode == 1
        assert "this system does not trace" in done.stderr and "Poukai(tracing=True)" in done.stderr
