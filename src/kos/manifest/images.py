"""Where an app's code is: in the project before the build, in a blob after it, or in the runtime."""

from __future__ import annotations

from kos.abi.records import dataclass
from kos.manifest import limits
from kos.manifest.fields import ListOf, Member, Nullable, OneOf, Record, Whole
from kos.manifest.names import PROGRAM, PROJECT_PATH, PYTHON_ENTRY, SERVICE_ENTRY, SHA256


@dataclass(frozen=True)
class PythonImage:
    """A Python package directory with a `pyproject.toml`.

    Attributes:
        path: the directory, relative to the project, with forward slashes.
        entry: `module:function` that runs the app; None means `<directory's name>:main`.
    """

    path: str
    entry: str | None = None

    def __post_init__(self) -> None:
        PYTHON.check(self, "PythonImage")


@dataclass(frozen=True)
class CImage:
    """A CMake project.

    Attributes:
        path: the directory, relative to the project, with forward slashes.
        entry: the program in the image, `bin/NAME`; None means `bin/<app's name>`.
    """

    path: str
    entry: str | None = None

    def __post_init__(self) -> None:
        C.check(self, "CImage")


@dataclass(frozen=True)
class VmImage:
    """What a Linux guest boots and mounts.

    Attributes:
        entry: the service that runs the guest.
        initrd: a file, or a directory that the build makes one of; relative to the project.
        kernel: a file; None means the platform's own kernel.
        disks: image files, in the image by their names.
    """

    entry: str
    initrd: str
    kernel: str | None = None
    disks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        VM.check(self, "VmImage")


@dataclass(frozen=True)
class ServiceImage:
    """A core app that is part of the runtime, such as `kos.services.rng.main:main`."""

    entry: str

    def __post_init__(self) -> None:
        SERVICE.check(self, "ServiceImage")


@dataclass(frozen=True)
class BuiltPythonImage:
    """A Python app as built: a tar with `site/`, `size` bytes long, stored under its SHA-256."""

    sha256: str
    size: int
    entry: str

    def __post_init__(self) -> None:
        BUILT_PYTHON.check(self, "BuiltPythonImage")


@dataclass(frozen=True)
class BuiltCImage:
    """A C app as built: a tar with `bin/`, `size` bytes long, stored under its SHA-256."""

    sha256: str
    size: int
    entry: str

    def __post_init__(self) -> None:
        BUILT_C.check(self, "BuiltCImage")


@dataclass(frozen=True)
class BuiltVmImage:
    """A guest as built: a tar with `kernel`, `initrd` and `disks/`, and the service that runs it."""

    sha256: str
    size: int
    entry: str

    def __post_init__(self) -> None:
        BUILT_VM.check(self, "BuiltVmImage")


SourceImage = PythonImage | CImage | VmImage
BuiltImage = BuiltPythonImage | BuiltCImage | BuiltVmImage
Image = SourceImage | ServiceImage | BuiltImage

_SIZE = Member(Whole(0, limits.IMAGE_BYTES_MAX))
PYTHON = Record(
    PythonImage,
    {"path": Member(PROJECT_PATH), "entry": Member(Nullable(PYTHON_ENTRY), None, omit=True)},
    tag=("kind", "python"),
)
C = Record(
    CImage,
    {"path": Member(PROJECT_PATH), "entry": Member(Nullable(PROGRAM), None, omit=True)},
    tag=("kind", "c"),
)
VM = Record(
    VmImage,
    {
        "entry": Member(SERVICE_ENTRY),
        "initrd": Member(PROJECT_PATH),
        "kernel": Member(Nullable(PROJECT_PATH), None, omit=True),
        "disks": Member(ListOf(PROJECT_PATH, limits.VM_DISKS_MAX, unique=True), (), omit=True),
    },
    tag=("kind", "vm"),
)
SERVICE = Record(ServiceImage, {"entry": Member(SERVICE_ENTRY)}, tag=("kind", "service"))
BUILT_PYTHON = Record(
    BuiltPythonImage,
    {"sha256": Member(SHA256), "size": _SIZE, "entry": Member(PYTHON_ENTRY)},
    tag=("kind", "python"),
)
BUILT_C = Record(
    BuiltCImage, {"sha256": Member(SHA256), "size": _SIZE, "entry": Member(PROGRAM)}, tag=("kind", "c")
)
BUILT_VM = Record(
    BuiltVmImage,
    {"sha256": Member(SHA256), "size": _SIZE, "entry": Member(SERVICE_ENTRY)},
    tag=("kind", "vm"),
)
IMAGE = OneOf("kind", [PYTHON, C, VM, SERVICE, BUILT_PYTHON, BUILT_C, BUILT_VM])
