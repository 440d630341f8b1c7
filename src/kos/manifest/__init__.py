"""What a system is, as a pure function from `Context` to `Context`, and its canonical JSON.

Nothing here does I/O except `load`, which opens a user's project. Nothing here knows how a manifest is built,
run or judged.
"""

from kos.manifest.config import Config
from kos.manifest.context import AppPackage, Context
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
from kos.manifest.platform import PlatformSpec
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
