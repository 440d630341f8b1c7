"""Package sets: which Debian packages a target needs, as data. Adding a set needs no code anywhere else.

A set with `closure` is installed with what its packages depend on, except `NOT_ON_DEVICE`; without, exactly
the named packages (a meta package stands for what it depends on).
"""

from __future__ import annotations

from dataclasses import dataclass

from kos.abi.errors import KosError

SUITE = "trixie"  # Debian 13
OTHER_NAME = "stable"  # what SUITE is called too, until the next one is released
PYTHON = "3.13"  # the Python of SUITE

DEBIAN_ARCH = {"aarch64": "arm64", "aarch32": "armhf"}

# What packages depend on and a device must not have (shell, package manager) or does not use.
NOT_ON_DEVICE = [
    "adduser",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debconf",
    "diffutils",
    "dpkg",
    "dracut",
    "findutils",
    "gzip",
    "init-system-helpers",
    "initramfs-tools",
    "install-info",
    "libpam-runtime",
    "libreadline8t64",
    "linux-base",
    "linux-initramfs-tool",
    "login",
    "mawk",
    "media-types",
    "netbase",
    "passwd",
    "perl",
    "perl-base",
    "python3-bcrypt",
    "python3-psutil",
    "readline-common",
    "sed",
    "sensible-utils",
    "tar",
    "tzdata",
    "util-linux",
]


@dataclass(frozen=True)
class PackageSet:
    """Packages that are brought together.

    Attributes:
        name: the name of its folder in the SDK.
        packages: Debian package names.
        closure: their dependencies too.
        component: the Debian component that must be enabled for it.
        why: for the reader of `kos-tool install`.
    """

    name: str
    packages: tuple[str, ...]
    closure: bool
    why: str
    component: str = "main"


_ALL = [
    PackageSet(
        "base",
        (
            "bubblewrap",
            "e2fsprogs",
            "kmod",
            "libpython3.13-stdlib",
            "libseccomp2",
            "python3-cryptography",
            "python3-pyroute2",
            "python3.13-minimal",
            "wireguard-tools",
        ),
        closure=True,
        why="the root file system: Python, sandbox, network",
    ),
    PackageSet(
        "python-host", ("libpython3.13-stdlib", "python3.13-minimal"), True, "byte-compiles for the device"
    ),
    PackageSet("network", ("nftables",), True, "the rules between apps and the tunnel"),
    PackageSet(
        "microvm", ("qemu-system-arm",), closure=True, why="QEMU for microVMs, on platforms with hyp=on"
    ),
    PackageSet("debugger", ("gdbserver",), closure=True, why="gdb's far end, where a manifest allows it"),
    PackageSet("busybox", ("busybox-static",), False, "the user space of small guests, with hyp=on"),
    PackageSet("kernel-cloud", ("linux-image-cloud-arm64",), False, "the kernel of the simulator, aarch64"),
    PackageSet("kernel-x86", ("linux-image-cloud-amd64",), False, "benchmarks: the x86 microvm machine"),
    PackageSet("kernel-arm64", ("linux-image-arm64",), False, "the kernel of arm64 boards"),
    PackageSet(
        "kernel-armmp", ("linux-image-armmp",), False, "the kernel of the simulator and boards, aarch32"
    ),
    PackageSet("uboot-qemu", ("u-boot-qemu",), False, "boot loader of the simulator"),
    PackageSet("uboot-rpi", ("u-boot-rpi",), False, "boot loader of rpi4"),
    PackageSet("uboot-omap", ("u-boot-omap",), False, "boot loader of am335x"),
    PackageSet(
        "firmware-rpi",
        ("raspi-firmware",),
        False,
        "the first boot stages of rpi4",
        component="non-free-firmware",
    ),
]
SETS = {one.name: one for one in _ALL}


def package_set(name: str) -> PackageSet:
    """The set called `name`.

    Raises:
        KosError: there is none.
    """
    if name not in SETS:
        raise KosError(f"there is no package set {name!r}", hint="known: " + ", ".join(sorted(SETS)))
    return SETS[name]
