"""Streams between readers at the control socket and running apps: opened, carried, bounded, closed.

An app has one reader at a time. Each opening and each closing, and every line that is run in a shell, is
written to the console; an app's own words go to its reader and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Callable

from kos.abi.debug import PIECE_MAX, SHELL_LINE_MAX
from kos.abi.errors import KosError
from kos.abi.hints import TYPE_CHECKING, Any
from kos.abi.stream import ID, REASON_MAX, SHELL, STREAMS_MAX, WHO_MAX, WINDOW
from kos.device.console.lines import printable
from kos.device.control.server import Stream
from kos.device.debug import grants
from kos.device.debug.far import Far
from kos.device.units import AppUnit

if TYPE_CHECKING:
    from kos.device.supervisor import Supervisor

OPERATIONS = ("stream.list", "stream.open", "stream.data", "stream.more", "stream.close")
_RETRY_SECONDS = 0.02  # before an app that had no room is tried again
_ENDING_SECONDS = 2.0  # from an app's last word to what the supervisor says of its end


class OpenStream:
    """One reader and one app."""

    def __init__(
        self, streams: Streams, reader: Stream, identity: str, app: str, kind: str, who: str, far: Far
    ) -> None:
        self.reader, self.identity, self.app, self.kind, self.who = reader, identity, app, kind, who
        self._streams = streams
        self._far = far
        self._credit = WINDOW  # bytes that the reader takes
        self._allowed = WINDOW  # bytes that the reader may send
        self._unsent = bytearray()
        self._typed = bytearray()  # of a shell: the line that has not ended yet
        self._watching = False
        self._retrying = False
        self._open = True
        self._deaf = False
        self._watch()

    # --- from the reader ----------------------------------------------------------------------------------
    def take(self, data: bytes) -> None:
        """Bytes for the app."""
        if len(data) > self._allowed:
            self.close(f"the reader sent more than the {WINDOW} bytes that may be on the way")
            return
        self._allowed -= len(data)
        self._unsent += data
        if self.kind == SHELL:
            self._note(data)
        self._flush()

    def more(self, count: int) -> None:
        """The reader takes so much more."""
        self._credit = min(WINDOW, self._credit + count)
        self._watch()

    def close(self, reason: str) -> None:
        """End it, and say why to the reader and on the console."""
        if not self._open:
            return
        self._open = False
        if self._watching:
            self._streams.loop.unwatch(self._far.fd)
        self._far.close()
        self._streams.forget(self)
        reason = printable(reason.encode(errors="replace"))[:REASON_MAX]
        self.reader.send({"stream": self.identity, "closed": reason})
        self._streams.say(f"{self.app}: {grants.words(self.kind)} of {self.who} was closed: {reason}")

    def _flush(self) -> None:
        taken = 0
        try:
            while self._unsent and (count := self._far.write(bytes(self._unsent[:PIECE_MAX]))):
                del self._unsent[:count]
                taken += count
        except OSError as error:
            self.close(f"the app does not take it: {error.strerror}")
            return
        if taken:
            self._allowed += taken
            self.reader.send({"stream": self.identity, "more": taken})
        if self._unsent and not self._retrying:
            self._retrying = True
            self._streams.loop.call_later(_RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        if self._open:
            self._flush()

    def _note(self, data: bytes) -> None:
        """Write what is run to the console."""
        self._typed += data
        while (end := self._typed.find(b"\n")) >= 0:
            line = bytes(self._typed[:end])
            del self._typed[: end + 1]
            try:
                wish = json.loads(line)
            except (ValueError, RecursionError):
                continue  # the app says what it expects
            match wish:
                case {"run": str(text)} if text.strip():
                    self._streams.say(f"{self.app}: shell: {printable(text.encode(errors='replace'))}")
        del self._typed[: max(0, len(self._typed) - SHELL_LINE_MAX)]

    # --- from the app -------------------------------------------------------------------------------------
    def _watch(self) -> None:
        """Listen to the app as long as the reader takes what it may say."""
        wanted = self._open and not self._deaf and self._credit >= PIECE_MAX
        if wanted and not self._watching:
            self._streams.loop.watch(self._far.fd, self._read)
        elif self._watching and not wanted:
            self._streams.loop.unwatch(self._far.fd)
        self._watching = wanted

    def _read(self) -> None:
        try:
            data = self._far.read()
        except EOFError:
            # The app is ending, of which we shall hear why; or it has closed the descriptor itself.
            self._deaf = True
            self._watch()
            self._streams.loop.call_later(_ENDING_SECONDS, lambda: self.close("the app closed its channel"))
            return
        if data is None:
            self.close(self._far.words or "the other side ended it")
        elif data:
            self._credit -= len(data)
            self.reader.send({"stream": self.identity, "data": base64.b64encode(data).decode()})
            self._watch()


class Streams:
    """All of a system."""

    def __init__(self, host: Supervisor) -> None:
        self.loop = host.loop
        self._host = host
        self._open: dict[str, OpenStream] = {}  # by app
        self._by_reader: dict[tuple[Stream, str], OpenStream] = {}
        self._numbers = itertools.count(1)
        self._readers: set[Stream] = set()

    def operations(self) -> dict[str, Callable[[dict[str, Any], Stream], None]]:
        """What the control socket offers of them."""
        return {
            "stream.list": lambda _request, reader: reader.answer({"apps": self.listing()}),
            "stream.open": self._op_open,
            "stream.data": self._op_data,
            "stream.more": self._op_more,
            "stream.close": self._op_close,
        }

    def listing(self) -> dict[str, dict[str, Any]]:
        """The apps that the manifest opens: how, whether they run, and who looks into them now."""
        found = {}
        for name, unit in self._host.apps.items():
            kind = grants.granted(unit.app, self._host.manifest.options)
            if kind is not None:
                reader = self._open.get(name)
                found[name] = {
                    "kind": kind,
                    "running": unit.process is not None,
                    "who": reader.who if reader else None,
                }
        return found

    def app_ended(self, app: str, text: str) -> None:
        """An app is gone, and with it what looked into it."""
        if app in self._open:
            self._open[app].close(f"the app ended: {text}")

    def say(self, text: str) -> None:
        self._host.console.say(text)

    def forget(self, stream: OpenStream) -> None:
        self._open.pop(stream.app, None)
        self._by_reader.pop((stream.reader, stream.identity), None)

    def _op_open(self, request: dict[str, Any], reader: Stream) -> None:
        try:
            stream = self._make(request, reader)
        except KosError as error:
            reader.fail(error.message, error.hint)
            return
        reader.answer({"stream": stream.identity, "window": WINDOW})

    def _make(self, request: dict[str, Any], reader: Stream) -> OpenStream:
        name, kind, identity = (request.get(key) for key in ("app", "kind", "id"))
        who = request.get("who", "somebody")
        unit = self._host.apps.get(name) if isinstance(name, str) else None
        if unit is None:
            raise KosError(
                f"there is no app {str(name)[:64]!r}", hint=f"apps: {', '.join(sorted(self._host.apps))}"
            )
        if not isinstance(kind, str) or not isinstance(who, str) or not isinstance(identity, str):
            raise KosError("a stream needs an id and a kind, each a text")
        if not ID.fullmatch(identity) or (reader, identity) in self._by_reader:
            raise KosError("a stream's id is 1 to 32 letters and digits that no other open one has")
        grants.check(unit.app, self._host.manifest.options, kind)
        if sum(one.reader is reader for one in self._open.values()) >= STREAMS_MAX:
            raise KosError(f"this connection has {STREAMS_MAX} streams open already")
        if unit.name in self._open:
            raise KosError(
                f"{unit.name} is looked into already, by {self._open[unit.name].who}",
                hint="one at a time: ask them to close it",
            )
        if unit.process is None or unit.ending:
            raise KosError(f"{unit.name} is not running: it is {unit.state}")
        who = printable(who[:WHO_MAX].encode(errors="replace"))
        stream = OpenStream(self, reader, identity, unit.name, kind, who, self._far(unit, kind))
        self._open[unit.name] = self._by_reader[reader, identity] = stream
        self.say(f"{unit.name}: {grants.words(kind)} was opened by {who}")
        if reader not in self._readers:
            self._readers.add(reader)
            reader.on_close(lambda: self._reader_gone(reader))
        return stream

    def _far(self, unit: AppUnit, kind: str) -> Far:
        return unit.look_into(kind, next(self._numbers))

    def _reader_gone(self, reader: Stream) -> None:
        self._readers.discard(reader)
        for stream in [one for one in self._open.values() if one.reader is reader]:
            stream.close("the reader left")

    # The following have no answer: what they are about may have ended meanwhile, of which the reader hears.
    def _op_data(self, request: dict[str, Any], reader: Stream) -> None:
        stream = self._of(request, reader)
        if stream is not None:
            try:
                data = base64.b64decode(request.get("data", ""), validate=True)
            except (TypeError, ValueError, binascii.Error):
                stream.close("what the reader sent is not base64")
            else:
                stream.take(data)

    def _op_more(self, request: dict[str, Any], reader: Stream) -> None:
        stream, count = self._of(request, reader), request.get("bytes")
        if stream is not None and isinstance(count, int) and 0 <= count <= WINDOW:
            stream.more(count)

    def _op_close(self, request: dict[str, Any], reader: Stream) -> None:
        stream = self._of(request, reader)
        if stream is not None:
            reason = request.get("reason")
            stream.close(reason if isinstance(reason, str) and reason else "the reader left")

    def _of(self, request: dict[str, Any], reader: Stream) -> OpenStream | None:
        identity = request.get("id")
        return self._by_reader.get((reader, identity)) if isinstance(identity, str) else None
