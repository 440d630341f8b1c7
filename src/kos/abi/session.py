"""The device session: subjects, documents and limits that a device's admin app and a server agree on.

JSON documents over a bus with subjects (NATS). A device may only publish below `up_subject` and only read
below `down_subject` of its own id. Every document carries `v` (the version); unknown keys are ignored, so
that either side may be newer. State, not commands: a report says all that is so, `desired` says all that
should be so; both may be repeated or lost at any time and change nothing twice.

Plain Python: no import outside the standard library, no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.reader import NAME, SERIES, Reader, clean, is_number
from kos.abi.records import asdict, dataclass, field, replace

SESSION_VERSION = 1

# --- where a server listens when nothing else is said -----------------------------------------------------
HTTP_PORT = 4180
BUS_PORT = 4181
MQTT_PORT = 4182
GATEWAY_PORT = 51820  # UDP: WireGuard

# --- limits -----------------------------------------------------------------------------------------------
DOCUMENT_MAX = 256 * 1024  # bytes of one document
DEPTH_MAX = 16  # nesting of one document
APPS_MAX = 256  # apps in one report
REASONS_MAX = 16  # counters of one app's network
COUNT_MAX = (1 << 63) - 1  # of one of them
LINES_MAX = 500  # console lines in one document
LINE_MAX = 4096  # characters of one console line
DETAIL_MAX = 64 * 1024  # characters of an event's detail
POINTS_MAX = 2000  # points in one telemetry document
SERIESNAME_MAX = 96  # characters
NAME_MAX = 64
SIGNATURES_MAX = 16
HEARTBEAT_DEFAULT = 30.0  # seconds
HELLO_TIMEOUT = 10.0  # seconds without an answer after which a device says hello again
HEARTBEAT_MIN = 0.2
HEARTBEAT_MAX = 3600.0
TIME_MAX = 1 << 53  # milliseconds since 1970
DELTA_BLOB_MAX = 16 << 20  # bytes of a blob that is made from an older one: both are in a device's memory
DELTA_HEADER = "X-KOS-Delta-From"  # of a download that is only the difference to this blob

# --- subjects ---------------------------------------------------------------------------------------------
ROOT = "kos.d"
UP_HELLO = "hello"  # a request; the answer is `Desired`
UP_REPORT = "report"
UP_CONSOLE = "console"
UP_TELEMETRY = "telemetry"
UP_EVENT = "event"
UP_DATA = "data"  # then the app and its own topic: what apps publish by MQTT
UP_REPLY = "reply"
UP_STREAM = "stream"
STORED_KINDS = (UP_REPORT, UP_CONSOLE, UP_TELEMETRY, UP_EVENT)  # each is acknowledged once it is stored
DOWN_DESIRED = "desired"
DOWN_REQUEST = "request"
DOWN_STREAM = "stream"  # then the stream's id, as in the other direction
DOWN_ANSWER = "answer"  # where answers and acknowledgements to the device's own messages go


def up_subject(device: str, kind: str) -> str:
    """Where the device `device` publishes documents of `kind`."""
    return f"{ROOT}.{device}.up.{kind}"


def down_subject(device: str, kind: str) -> str:
    """Where the device `device` listens for documents of `kind`."""
    return f"{ROOT}.{device}.down.{kind}"


# --- states -----------------------------------------------------------------------------------------------
# What became of the desired release, as the device itself says it.
UPDATE_IDLE = "idle"
UPDATE_DOWNLOADING = "downloading"
UPDATE_INSTALLED = "installed"
UPDATE_BOOTED = "booted"
UPDATE_HEALTHY = "healthy"
UPDATE_REVERTED = "reverted"
UPDATE_FAILED = "failed"
UPDATE_STATES = (
    UPDATE_IDLE,
    UPDATE_DOWNLOADING,
    UPDATE_INSTALLED,
    UPDATE_BOOTED,
    UPDATE_HEALTHY,
    UPDATE_REVERTED,
    UPDATE_FAILED,
)

# Requests that a server may make of a device. A stream opens only where the manifest
# allows it; what then goes both ways below `…stream.<id>` are the frames of `kos.abi.stream`.
METHOD_RESTART = "app.restart"
METHOD_GRAPH = "graph"
METHOD_CONSOLE = "console.tail"
METHOD_TRACE_START = "trace.start"
METHOD_TRACE_STOP = "trace.stop"
METHOD_STREAM_LIST = "stream.list"
METHOD_STREAM_OPEN = "stream.open"
TRACE_LEASE_MAX = 60  # seconds for which one trace.start holds; whoever watches asks again
STREAM_TRACE = "trace"  # below UP_STREAM: {"frame": …} as `kos.abi.trace_frame` says


def load(document: str, raw: bytes) -> Reader:
    """Parse one document and check its size and version."""
    if len(raw) > DOCUMENT_MAX:
        raise KosError(f"{document}: {len(raw)} bytes, the limit is {DOCUMENT_MAX}")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise KosError(f"{document}: not JSON") from error
    reader = Reader(document, data)
    if reader.integer("v") != SESSION_VERSION:
        raise KosError(f"{document}: version {data['v']} is not {SESSION_VERSION}")
    return reader


def dump(data: dict[str, Any]) -> bytes:
    """One document as bytes, with its version; refuses what the other side would refuse."""
    raw = json.dumps({"v": SESSION_VERSION, **data}, separators=(",", ":"), allow_nan=False).encode()
    if len(raw) > DOCUMENT_MAX:
        raise KosError(f"document of {len(raw)} bytes, the limit is {DOCUMENT_MAX}")
    return raw


# --- documents --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Hello:
    """Who is there: the first message of each connection. Claims only; identity is the key."""

    boot: str  # changes with each start of the device
    platform: str = ""
    system: str = ""
    agent: str = ""
    name: str = ""
    clock: bool = True  # False: the device has no idea what time it is
    sent: int = 0  # the device's clock, in milliseconds

    def to_bytes(self) -> bytes:
        return dump(asdict(self))

    @classmethod
    def parse(cls, raw: bytes) -> Hello:
        reader = load("hello", raw)
        return cls(
            boot=reader.name("boot"),
            platform=reader.text("platform", "", NAME_MAX),
            system=reader.text("system", "", NAME_MAX),
            agent=reader.text("agent", "", NAME_MAX),
            name=reader.text("name", "", NAME_MAX),
            clock=reader.boolean("clock", True),
            sent=reader.integer("sent", 0),
        )


@dataclass(frozen=True)
class Update:
    """What became of the desired state `version`: the device's word, with its own reason."""

    version: int = 0
    state: str = UPDATE_IDLE
    progress: float = 0.0  # 0 to 1 while downloading
    reason: str = ""


@dataclass(frozen=True)
class AppState:
    """One app as the supervisor sees it."""

    state: str
    restarts: int = 0
    memory: int = 0  # bytes
    detail: str = ""
    violations: int = 0  # ends by a system call that it may not make
    network: dict[str, int] = field(default_factory=dict)  # packets: sent, received, and refused by reason


def refused(app: Mapping[str, Any]) -> int:
    """How often an app, as plain data, was refused something: packets and system calls."""
    packets = app.get("network", {})
    return app.get("violations", 0) + sum(
        n for reason, n in packets.items() if reason not in ("sent", "received")
    )


def _packets(app: Reader) -> dict[str, int]:
    counted = app.mapping("network", REASONS_MAX)
    if not all(
        NAME.fullmatch(reason) and type(count) is int and 0 <= count <= COUNT_MAX
        for reason, count in counted.items()
    ):
        raise app.fail("network", "an object of reasons and numbers of packets")
    return counted


@dataclass(frozen=True)
class Report:
    """All that is so on the device. `seq` grows within one boot; an older report never wins over a newer."""

    boot: str
    seq: int
    sent: int
    generation: int = 0
    release: str | None = None  # SHA-256 of the running manifest
    overlay: str | None = None
    clock: bool = True
    healthy: bool = True
    update: Update = field(default_factory=Update)
    apps: dict[str, AppState] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # memory_used, storage_free, temperature …

    def to_bytes(self) -> bytes:
        return dump(asdict(self))

    @classmethod
    def parse(cls, raw: bytes) -> Report:
        reader = load("report", raw)
        update = Reader("report update", reader.mapping("update", 16))
        apps = {}
        for name, value in reader.mapping("apps", APPS_MAX).items():
            if not NAME.fullmatch(name):
                raise KosError(f"report: {name[:60]!r} is not an app's name")
            app = Reader(f"report app {name}", value)
            apps[name] = AppState(
                state=app.text("state", None, NAME_MAX),
                restarts=app.integer("restarts", 0),
                memory=app.integer("memory", 0),
                detail=app.text("detail", ""),
                violations=app.integer("violations", 0),
                network=_packets(app),
            )
        metrics = reader.mapping("metrics", 64)
        for key, value in metrics.items():
            if not SERIES.fullmatch(key) or not is_number(value):
                raise KosError(f"report: metric {key[:60]!r} must be a name and a number")
        return cls(
            boot=reader.name("boot"),
            seq=reader.integer("seq"),
            sent=reader.integer("sent"),
            generation=reader.integer("generation", 0, high=1 << 31),
            release=reader.digest_or_none("release"),
            overlay=reader.digest_or_none("overlay"),
            clock=reader.boolean("clock", True),
            healthy=reader.boolean("healthy", True),
            update=Update(
                version=update.integer("version", 0),
                state=update.choice("state", UPDATE_STATES) if "state" in update.data else UPDATE_IDLE,
                progress=update.number("progress", 0.0, 0.0, 1.0),
                reason=update.text("reason", ""),
            ),
            apps=apps,
            metrics={key: float(value) for key, value in metrics.items()},
        )


@dataclass(frozen=True)
class Console:
    """Console lines in order: seconds since the device started, the app, the text."""

    boot: str
    lines: tuple[tuple[float, str, str], ...]
    dropped: int = 0  # lines that the device could not keep before these

    def to_bytes(self) -> bytes:
        return dump(
            {"boot": self.boot, "lines": [list(line) for line in self.lines], "dropped": self.dropped}
        )

    @classmethod
    def parse(cls, raw: bytes) -> Console:
        reader = load("console", raw)
        lines = []
        for line in reader.sequence("lines", LINES_MAX):
            match line:
                case [seconds, str(app), str(text)] if (
                    is_number(seconds) and len(app) <= NAME_MAX and len(text) <= LINE_MAX
                ):
                    lines.append((float(seconds), clean(app), clean(text)))
                case _:
                    raise KosError(f"console: a line must be [seconds, app, text], found {str(line)[:60]}")
        return cls(reader.name("boot"), tuple(lines), reader.integer("dropped", 0))


@dataclass(frozen=True)
class Telemetry:
    """Points of time series: name, milliseconds of the device's clock, value."""

    sent: int
    points: tuple[tuple[str, int, float], ...]
    clock: bool = True

    def to_bytes(self) -> bytes:
        return dump(
            {"sent": self.sent, "clock": self.clock, "points": [list(point) for point in self.points]}
        )

    @classmethod
    def parse(cls, raw: bytes) -> Telemetry:
        reader = load("telemetry", raw)
        points = []
        for point in reader.sequence("points", POINTS_MAX):
            match point:
                case [str(name), int(time), value] if (
                    SERIES.fullmatch(name)
                    and 0 <= time <= TIME_MAX
                    and not isinstance(time, bool)
                    and is_number(value)
                ):
                    points.append((name, time, float(value)))
                case _:
                    raise KosError(f"telemetry: a point must be [name, time, value], found {str(point)[:60]}")
        return cls(reader.integer("sent"), tuple(points), reader.boolean("clock", True))


@dataclass(frozen=True)
class Event:
    """Something that happened once: an app crashed, was refused a port, broke a rule."""

    kind: str
    app: str
    text: str
    sent: int
    detail: dict[str, Any] = field(default_factory=dict)  # of a crash: the post-mortem record

    def to_bytes(self) -> bytes:
        return dump(asdict(self))

    @classmethod
    def parse(cls, raw: bytes) -> Event:
        reader = load("event", raw)
        return cls(
            reader.name("kind"),
            reader.text("app", "", NAME_MAX),
            reader.text("text", ""),
            reader.integer("sent"),
            detail_of(reader),
        )


def detail_of(reader: Reader) -> dict[str, Any]:
    """An event's detail: of a bounded size, and such as every database takes."""
    try:
        text = json.dumps(reader.mapping("detail", 64), ensure_ascii=False, allow_nan=False)
        cleaned: dict[str, Any] = json.loads(clean(text.replace("\\u0000", "\ufffd")))
    except ValueError as error:
        raise reader.fail("detail", "an object that every JSON reader takes") from error
    if len(text) > DETAIL_MAX:
        raise KosError(f"event: a detail of {len(text)} characters, the limit is {DETAIL_MAX}")
    return cleaned


@dataclass(frozen=True)
class DeviceSettings:
    """What a server may set on a device, beside its release."""

    heartbeat: float | None = None  # seconds between two reports; None is the server's own
    console: bool = True  # whether console lines are sent
    status_every: float = (
        5.0  # seconds between two looks at memory and restarts when nothing tells of a change
    )

    @classmethod
    def known(cls, settings: dict[str, Any] | Any) -> DeviceSettings:
        """The settings that we know of; what is strange or missing has its default."""
        made = cls()
        for name in SETTINGS:
            try:
                made = replace(made, **{name: check_setting(name, settings[name])})
            except (KeyError, KosError):
                continue
        return made


SETTINGS = ("heartbeat", "console", "status_every")


def check_setting(name: str, value: Any) -> Any:
    """The value of one setting. Raises KosError for a name or a value that is none."""
    reader = Reader("settings", {name: value})
    match name:
        case "heartbeat":
            return reader.number(name, None, HEARTBEAT_MIN, HEARTBEAT_MAX)
        case "console":
            return reader.boolean(name)
        case "status_every":
            return reader.number(name, None, 0.5, HEARTBEAT_MAX)
    raise KosError(f"no such setting: {name[:60]!r}", hint="one of " + ", ".join(SETTINGS))


@dataclass(frozen=True)
class WantedOverlay:
    """An overlay that should lie over the release; its document is fetched as a blob."""

    sha256: str
    size: int
    signatures: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Desired:
    """All that should be so on the device. A version already carried out, or older, changes nothing."""

    version: int
    accepted: bool = True  # False: wait, a person has not accepted this device yet
    release: str | None = None  # SHA-256 of the manifest wanted; None: leave as it is
    size: int = 0  # bytes of that manifest
    signatures: tuple[dict[str, Any], ...] = ()
    overlay: WantedOverlay | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    heartbeat: float = HEARTBEAT_DEFAULT
    # URL to which "sha256/<hex>" is added; ":PORT/path" means that port of the host where the bus is
    download: str = ""
    token: str = ""  # bearer token of the downloads

    def to_bytes(self) -> bytes:
        return dump(asdict(self))

    @classmethod
    def parse(cls, raw: bytes) -> Desired:
        reader = load("desired", raw)
        overlay = None
        if reader.data.get("overlay") is not None:
            inner = Reader("desired overlay", reader.mapping("overlay", 16))
            if (digest := inner.digest_or_none("sha256")) is None:
                raise inner.fail("sha256", "a SHA-256")
            overlay = WantedOverlay(digest, inner.integer("size"), _signatures(inner))
        return cls(
            version=reader.integer("version"),
            accepted=reader.boolean("accepted", True),
            release=reader.digest_or_none("release"),
            size=reader.integer("size", 0),
            signatures=_signatures(reader),
            overlay=overlay,
            settings=reader.mapping("settings", 256),
            heartbeat=reader.number("heartbeat", HEARTBEAT_DEFAULT, HEARTBEAT_MIN, HEARTBEAT_MAX),
            download=reader.text("download", ""),
            token=reader.text("token", ""),
        )


def _signatures(reader: Reader) -> tuple[dict[str, Any], ...]:
    signatures = reader.sequence("signatures", SIGNATURES_MAX)
    if not all(isinstance(one, dict) for one in signatures):
        raise reader.fail("signatures", "a list of objects")
    return tuple(signatures)


@dataclass(frozen=True)
class Request:
    """A server asks a device to do or tell something now. Lost requests are not repeated."""

    id: str
    reply: str  # the subject for the answer, below the device's own
    method: str
    params: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return dump(asdict(self))

    @classmethod
    def parse(cls, raw: bytes) -> Request:
        reader = load("request", raw)
        return cls(
            reader.name("id"), reader.text("reply"), reader.name("method"), reader.mapping("params", 64)
        )


@dataclass(frozen=True)
class Reply:
    """The device's answer: a result, or an error with a hint."""

    id: str
    ok: bool
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    hint: str = ""

    def to_bytes(self) -> bytes:
        return dump(asdict(self))

    @classmethod
    def parse(cls, raw: bytes) -> Reply:
        reader = load("reply", raw)
        return cls(
            reader.name("id"),
            reader.boolean("ok"),
            reader.mapping("result", 4096),
            reader.text("error", ""),
            reader.text("hint", ""),
        )
