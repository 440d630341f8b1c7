"""Where a trace comes from: a system that runs here, or a device, whose server joins the frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote

from kos.abi.errors import KosError
from kos.tool import output, runs
from kos.tool.server_client import ServerClient

Events = list[dict[str, Any]]


@dataclass
class Trace:
    """What was seen beside the events themselves.

    Attributes:
        lost: records of each app that were overwritten or left out before they could be read.
        invalid: records of each app that make no sense.
        unfinished: what began and has not ended.
    """

    lost: dict[str, int] = field(default_factory=dict)
    invalid: dict[str, int] = field(default_factory=dict)
    unfinished: Events = field(default_factory=list)

    def local(self, system: str | None, seconds: float | None) -> Iterator[Events]:
        """New events of a system that runs on this machine, as they come."""
        from kos.abi.trace_frame import parse
        from kos.tracing import Timeline

        timeline = Timeline()
        self.lost, self.invalid = timeline.lost, timeline.invalid
        with runs.connect(system) as client:
            frames = client.trace(seconds)
            _begun(seconds)
            try:
                for frame in frames:
                    yield timeline.feed(parse(frame))
            finally:
                self.unfinished = timeline.unfinished()

    def remote(self, url: str | None, device: str, seconds: float | None) -> Iterator[Events]:
        """New events of a device, through its server. The device goes on for some seconds when we leave."""
        client = ServerClient(url)
        path = f"/devices/{quote(client.device(device)['id'])}/trace"
        end = None
        for kind, told in client.events(path):
            if kind == "hello":
                _begun(seconds)
                end = None if seconds is None else monotonic() + seconds
            elif kind == "stopped":
                raise KosError(f"the trace ended: {told['detail']}", where=client.url, hint=told["hint"])
            elif kind == "trace":
                self.lost, self.invalid = told["lost"], told["invalid"]
                # What has ended since it was told is among the events.
                ended = {_place(one) for one in told["events"] if one["ph"] == "X"}
                begun = told.get("unfinished", self.unfinished)
                self.unfinished = [one for one in begun if _place(one) not in ended]
                yield told["events"]
            if end is not None and monotonic() >= end:
                return
        output.say("the server ended the trace")


def _begun(seconds: float | None) -> None:
    output.say("tracing; Ctrl-C ends it" if seconds is None else f"tracing for {seconds:g} s")


def _place(event: dict[str, Any]) -> tuple[int, int, float]:
    return event["pid"], event["tid"], event["ts"]
