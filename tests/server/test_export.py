"""Data taken along: CSV, line protocol, Parquet that another program reads; and spans to a collector."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kos.server.core.data import parquet
from kos.server.core.data.export import as_csv
from kos.server.core.telemetry import QUEUE_MAX, Tracer
from kos.services.admin.state import clock_ms
from tests.server.devices import Park
from tests.server.running import Server, running, wait_for

pytestmark = pytest.mark.group("server")


def test_points_in_every_form(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    (device,) = devices.add(1, fleet.bus_port, salt="export")
    path = f"/api/v1/devices/{device.id}"
    wait_for(lambda: client.get(path).is_success, "it waits")
    client.post(f"{path}/accept").raise_for_status()
    client.patch(path, json={"name": "=cmd()", "tags": ["export"]}).raise_for_status()
    wait_for(device.joined.is_set, "it joins")
    base = clock_ms() - 10_000
    points = [("room/temperature", base + number, number / 4) for number in range(50)]
    devices.call(device.measure, points)
    query = {"series": "room/temperature", "begin": base, "end": base + 1000}
    wait_for(lambda: len(client.get(f"{path}/points", params=query).json()["values"]) == 50, "all are stored")
    asked = {"devices": "tag:export", "begin": base, "end": base + 1000}

    text = client.get("/api/v1/export", params={**asked, "form": "csv"}).text
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["series"] == "room/temperature"]
    assert [(int(row["time_ms"]), float(row["value"])) for row in rows] == [point[1:] for point in points]
    assert rows[0]["name"] == "'=cmd()", "no formula for a spreadsheet"

    lines = client.get("/api/v1/export", params={**asked, "form": "lines"}).text.splitlines()
    assert f"kos,device={device.id},series=room/temperature value=0.25 {base + 1}000000" in lines

    file = tmp_path / "points.parquet"
    file.write_bytes(client.get("/api/v1/export", params={**asked, "form": "parquet"}).content)
    chosen = (
        "SELECT epoch_ms(time), value FROM read_parquet(?) WHERE series = 'room/temperature' ORDER BY time"
    )
    with duckdb.connect() as database:
        assert database.execute(chosen, [str(file)]).fetchall() == [point[1:] for point in points]
    assert client.get("/api/v1/export", params={"form": "xml"}).status_code == 422


def test_a_large_and_an_empty_parquet_file(tmp_path: Path) -> None:
    def rows(count: int) -> Iterator[parquet.Row]:
        for number in range(count):
            yield (f"device {number % 3}", "name of ä", "load", 1_700_000_000_000 + number, -number / 2)

    with duckdb.connect() as database:
        for count in (0, 1, parquet.ROWS, 2 * parquet.ROWS + 1):
            file = tmp_path / f"{count}.parquet"
            file.write_bytes(b"".join(parquet.as_parquet(rows(count))))
            chosen = "SELECT count(*), coalesce(sum(value), 0), count(DISTINCT time) FROM read_parquet(?)"
            total = -count * (count - 1) / 4
            assert database.execute(chosen, [str(file)]).fetchone() == (count, total, count)


def test_csv_of_nothing_has_its_head() -> None:
    assert "".join(as_csv(iter([]))) == "device,name,series,time_ms,value\r\n"


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                (resource,) = body["resourceSpans"]
                names = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
                assert names["service.name"] == {"stringValue": "kos-studio"}
                collector.spans += resource["scopeSpans"][0]["spans"]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_requests_and_jobs_are_spans(tmp_path: Path) -> None:
    collector = Collector()
    trace, parent = "ab" * 16, "cd" * 8
    with running(tmp_path, otlp=collector.url) as server, server.client() as client:
        secret = "ef" * 16
        client.get(f"/api/v1/devices/{secret}", headers={"traceparent": f"00-{trace}-{parent}-01"})
        client.get("/healthz", headers={"traceparent": "nonsense"})
        wanted = {"GET /api/v1/devices/{device_id}", "GET /healthz"}
        wait_for(lambda: wanted <= {span["name"] for span in collector.spans}, "the spans come")
    collector.close()
    named = {span["name"]: span for span in collector.spans}
    span = named["GET /api/v1/devices/{device_id}"]
    assert (span["traceId"], span["parentSpanId"]) == (trace, parent)
    assert {"key": "http.response.status_code", "value": {"intValue": "404"}} in span["attributes"]
    assert "parentSpanId" not in named["GET /healthz"]
    assert secret not in json.dumps(collector.spans), "a span names the route and no id"


def test_a_collector_that_is_away_costs_nothing() -> None:
    tracer = Tracer("http://127.0.0.1:9", "x")
    for _ in range(QUEUE_MAX + 10):
        with tracer.span("job"):
            pass
    assert tracer.dropped == 10, "it never waits"
    tracer.start()
    tracer.stop()
    assert tracer.sent == 0
