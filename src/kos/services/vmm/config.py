"""What the service reads with `kos.app.config()`, checked. `kos.systems.microvm` writes it."""

from __future__ import annotations

from collections import namedtuple

from kos.abi.services import VM_DISKS_MAX

MEMORY_MIN = 16 << 20  # bytes of RAM below which no arm64 Linux starts
TEXT_MAX = 2048  # characters of the kernel's command line, arm64's COMMAND_LINE_SIZE

# One disk. `size`: bytes of a writable one, 0 for a read-only image; `snapshots`: copies of it may be kept.
Disk = namedtuple("Disk", "image readonly size snapshots", defaults=(False,))
# `ready`: what the guest's console must show before the app is ready; `shutdown`: what is typed to stop it.
Guest = namedtuple("Guest", "name memory cmdline disks net port ready shutdown accel")


def parse(name: str, config: dict) -> Guest:
    """The guest that a configuration says.

    Raises:
        ValueError: it is wrong; names the setting.
    """
    disks = tuple(_disk(entry) for entry in config.get("disks", ()))
    if len(disks) > VM_DISKS_MAX:
        raise ValueError(f"disks: {len(disks)} are more than {VM_DISKS_MAX}")
    memory = config.get("memory")
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < MEMORY_MIN:
        raise ValueError(f"memory: expected at least {MEMORY_MIN} bytes, found {memory!r}")
    accel = _text(config, "accel", "kvm")
    if accel not in ("kvm", "tcg"):
        raise ValueError(f"accel: expected kvm, found {accel!r}")
    return Guest(
        name=name,
        memory=memory,
        cmdline=_text(config, "cmdline", ""),
        disks=disks,
        net=config.get("net") is True,
        port=_text(config, "console_port", ""),
        ready=_text(config, "ready", "").encode(),
        shutdown=_text(config, "shutdown", "").encode(),
        accel=accel,
    )


def _disk(entry: dict) -> Disk:
    image, readonly, size = entry.get("image"), entry.get("readonly"), entry.get("size", 0)
    if not isinstance(image, str) or not image or "/" in image or "," in image or image.startswith("."):
        raise ValueError(f"disks: {image!r} is no name of an image")
    if not isinstance(readonly, bool) or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"disks: {image}: expected readonly and size")
    if not readonly and not size:
        raise ValueError(f"disks: {image}: a writable disk needs a size")
    return Disk(image, readonly, size, entry.get("snapshots") is True and not readonly)


def _text(config: dict, key: str, default: str) -> str:
    value = config.get(key, default)
    if not isinstance(value, str) or len(value) > TEXT_MAX or "\0" in value:
        raise ValueError(f"{key}: expected text of at most {TEXT_MAX} characters")
    return value
