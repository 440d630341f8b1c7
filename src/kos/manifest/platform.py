"""Platform specs: `imx8mm-evk,arch=aarch64,hyp=on`. Which exist and what each may be asked for.

What a board is made of (memory map, boot chain, flashing) is in `kos.platforms`, not here.
"""

from __future__ import annotations

import difflib

from kos.abi.records import dataclass
from kos.manifest import limits
from kos.manifest.errors import ManifestError

AARCH64 = "aarch64"
AARCH32 = "aarch32"


@dataclass(frozen=True)
class Platform:
    """What a spec may ask of a platform.

    Attributes:
        architectures: the first is the default; empty where the platform is the developer's own machine.
        hyp_on: architectures on which `hyp=on` (microVMs) is possible.
        disabled: why the platform cannot be used in this release; None where it can.
    """

    architectures: tuple[str, ...] = ()
    hyp_on: tuple[str, ...] = ()
    disabled: str | None = None


PLATFORMS = {
    "host": Platform(),
    "qemu-arm-virt": Platform((AARCH64, AARCH32), (AARCH64,)),
    "imx8mm-evk": Platform((AARCH64,), (AARCH64,)),
    "portenta-x8": Platform((AARCH64,)),
    "rpi4": Platform((AARCH64,), (AARCH64,)),
    "am335x": Platform((AARCH32,)),
    "x86_64": Platform(disabled="x86_64 is disabled in this release"),
}
_KNOWN = ", ".join(name for name, platform in PLATFORMS.items() if not platform.disabled)


@dataclass(frozen=True)
class PlatformSpec:
    """A platform and its options.

    Attributes:
        name: such as `imx8mm-evk`.
        arch: `aarch64` or `aarch32`; None on the host platform, which is what the machine is.
        hyp: microVMs are possible.
    """

    name: str
    arch: str | None = None
    hyp: bool = False

    @classmethod
    def parse(cls, text: str) -> PlatformSpec:
        """The spec that `text` says.

        Raises:
            ManifestError: an unknown or disabled platform, an unknown, doubled or impossible option.
        """
        if not isinstance(text, str) or len(text) > limits.PLATFORM_MAX:
            raise ManifestError(
                f"a platform spec is text of at most {limits.PLATFORM_MAX} characters",
                hint="such as imx8mm-evk,arch=aarch64,hyp=on",
            )
        name, *words = text.split(",")
        platform = cls._platform(name)
        options: dict[str, str] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals or not key or not value:
                raise ManifestError(
                    f"platform {text!r}: expected key=value, found {word!r}",
                    hint="for example imx8mm-evk,arch=aarch64,hyp=on",
                )
            if key not in ("arch", "hyp"):
                raise ManifestError(f"platform {text!r}: unknown option {key!r}", hint="known: arch, hyp")
            if key in options:
                raise ManifestError(f"platform {text!r}: {key} is given twice")
            options[key] = value
        arch = cls._arch(name, platform, options.get("arch"))
        return cls(name, arch, cls._hyp(name, platform, arch, options.get("hyp", "off")))

    @staticmethod
    def _platform(name: str) -> Platform:
        platform = PLATFORMS.get(name)
        if platform is None:
            near = difflib.get_close_matches(name, PLATFORMS, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise ManifestError(f"there is no platform {name!r}", hint=f"{guess}known: {_KNOWN}")
        if platform.disabled:
            raise ManifestError(platform.disabled, hint=f"use one of: {_KNOWN}")
        return platform

    @staticmethod
    def _arch(name: str, platform: Platform, wanted: str | None) -> str | None:
        if wanted is None:
            return platform.architectures[0] if platform.architectures else None
        if wanted not in platform.architectures:
            has = ", ".join(platform.architectures) or "the machine's own architecture and takes no arch="
            raise ManifestError(f"platform {name} has no arch={wanted}", hint=f"it has {has}")
        return wanted

    @staticmethod
    def _hyp(name: str, platform: Platform, arch: str | None, wanted: str) -> bool:
        if wanted not in ("on", "off"):
            raise ManifestError(f"platform {name}: expected hyp=on or hyp=off, found hyp={wanted}")
        if wanted == "on" and arch not in platform.hyp_on:
            able = [f"{other},arch={has}" for other, p in PLATFORMS.items() for has in p.hyp_on]
            on = f" with arch={arch}" if len(platform.architectures) > 1 else ""
            raise ManifestError(
                f"platform {name}{on} cannot run microVMs", hint="hyp=on works on " + ", ".join(able)
            )
        return wanted == "on"

    def __str__(self) -> str:
        """The shortest spec that means the same, so that equal specs are equal text."""
        default = PLATFORMS[self.name].architectures[:1]
        arch = f",arch={self.arch}" if self.arch and (self.arch,) != default else ""
        return f"{self.name}{arch}{',hyp=on' if self.hyp else ''}"
