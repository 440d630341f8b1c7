"""What of the machine an app may hold. Each kind is a type; an app has nothing that is not listed."""

from __future__ import annotations

from kos.abi.records import dataclass
from kos.manifest import limits
from kos.manifest.fields import Flag, ListOf, Member, OneOf, Record, Whole
from kos.manifest.names import BUS_NAME, DEVICE_NAME


class _Resource:
    def __post_init__(self) -> None:
        record = next(record for record in RESOURCE.records if record.make is type(self))
        record.check(self, type(self).__name__)


@dataclass(frozen=True)
class I2CBus(_Resource):
    """A whole I2C bus, such as `i2c2`."""

    bus: str


@dataclass(frozen=True)
class Gpio(_Resource):
    """Lines of a GPIO controller."""

    chip: str
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Serial(_Resource):
    """A serial device, such as `ttymxc2`."""

    device: str


@dataclass(frozen=True)
class Mmio(_Resource):
    """Physical memory of a device: first address and size, in bytes."""

    base: int
    size: int


@dataclass(frozen=True)
class Interrupt(_Resource):
    """An interrupt of the machine, by its number."""

    number: int


@dataclass(frozen=True)
class Storage(_Resource):
    """The app's own persistent `/data`, at most `size` bytes."""

    size: int


@dataclass(frozen=True)
class Keys(_Resource):
    """The device's key partition at `/keys`: for the key store."""


@dataclass(frozen=True)
class Kvm(_Resource):
    """Hardware virtualisation, for a microVM."""


@dataclass(frozen=True)
class Network(_Resource):
    """The physical network interface: for ethernet and tunnel."""


@dataclass(frozen=True)
class Supervisor(_Resource):
    """The supervisor's status socket: for self_test and admin.

    Attributes:
        streams: it may pass on shells, debuggers and guests' consoles of the apps that are open to them.
        upgrade: it may speak with the upgrade engine.
    """

    streams: bool = False
    upgrade: bool = False


@dataclass(frozen=True)
class Dma(_Resource):
    """A device that reads and writes memory by itself."""


Resource = I2CBus | Gpio | Serial | Mmio | Interrupt | Storage | Keys | Kvm | Network | Supervisor | Dma

RESOURCE = OneOf(
    "type",
    [
        Record(I2CBus, {"bus": Member(BUS_NAME)}, ("type", "i2c")),
        Record(
            Gpio,
            {
                "chip": Member(DEVICE_NAME),
                "lines": Member(
                    ListOf(Whole(0, limits.GPIO_LINE_MAX), limits.GPIO_LINES_MAX, fewest=1, unique=True)
                ),
            },
            ("type", "gpio"),
        ),
        Record(Serial, {"device": Member(DEVICE_NAME)}, ("type", "serial")),
        Record(
            Mmio,
            {
                "base": Member(Whole(0, limits.ADDRESS_MAX)),
                "size": Member(Whole(1, limits.ADDRESS_MAX)),
            },
            ("type", "mmio"),
        ),
        Record(Interrupt, {"number": Member(Whole(0, limits.INTERRUPT_MAX))}, ("type", "interrupt")),
        Record(Storage, {"size": Member(Whole(1, limits.STORAGE_BYTES_MAX))}, ("type", "storage")),
        Record(Keys, {}, ("type", "keys")),
        Record(Kvm, {}, ("type", "kvm")),
        Record(Network, {}, ("type", "network")),
        Record(
            Supervisor,
            {"streams": Member(Flag(), False, omit=True), "upgrade": Member(Flag(), False, omit=True)},
            ("type", "supervisor"),
        ),
        Record(Dma, {}, ("type", "dma")),
    ],
)
