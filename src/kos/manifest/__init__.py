"""What a system is, as a pure function from `Context` to `Context`, and its canonical JSON.

Nothing here does I/O except `load`, which opens a user's project. Nothing here knows how a manifest is built,
run or judged.

What only makes manifests is loaded when it is first named: a device reads them, and starts sooner without it.
"""

from importlib import import_module

from kos.abi.hints import TYPE_CHECKING, Any
from kos.manifest.errors import ManifestError
from kos.manifest.images import (
    BuiltCImage,
    BuiltImage,
    BuiltPythonImage,
    BuiltVmImage,
    CImage,
    PythonImage,
    ServiceImage,
    VmImage,
)
from kos.manifest.model import AccessControl, App, Manifest, MsgServer, Port, Restart
from kos.manifest.options import Options, TunnelIp
from kos.manifest.resources import (
    Dma,
    Gpio,
    I2CBus,
    Interrupt,
    Keys,
    Kvm,
    Mmio,
    Network,
    Serial,
    Storage,
    Supervisor,
)

if TYPE_CHECKING:
    from kos.manifest.config import Config
    from kos.manifest.context import AppPackage, Context
    from kos.manifest.platform import PlatformSpec
    from kos.manifest.system import System

__all__ = [
    "AccessControl",
    "App",
    "AppPackage",
    "BuiltCImage",
    "BuiltImage",
    "BuiltPythonImage",
    "BuiltVmImage",
    "CImage",
    "Config",
    "Context",
    "Dma",
    "Gpio",
    "I2CBus",
    "Interrupt",
    "Keys",
    "Kvm",
    "Manifest",
    "ManifestError",
    "Mmio",
    "MsgServer",
    "Network",
    "Options",
    "PlatformSpec",
    "Port",
    "PythonImage",
    "Restart",
    "Serial",
    "ServiceImage",
    "Storage",
    "Supervisor",
    "System",
    "TunnelIp",
    "VmImage",
]

_LATER = {
    "AppPackage": "context",
    "Config": "config",
    "Context": "context",
    "PlatformSpec": "platform",
    "System": "system",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"kos.manifest.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
