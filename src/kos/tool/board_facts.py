"""Writes the table of facts into the page of each board, from the board's own file.

`python -m kos.tool.board_facts` renews the pages; a test compares them with the files.
"""

from __future__ import annotations

from pathlib import Path

from kos.manifest import PlatformSpec
from kos.platforms import board
from kos.platforms.board import FACTS, MIB, Board

GUIDES = Path(__file__).resolve().parents[3] / "docs/guides"
PAGES = {
    "am335x": "running_am335x.md",
    "imx8mm-evk": "running_imx8mm_evk.md",
    "portenta-x8": "running_portenta_x8.md",
    "qemu-arm-virt": "running_qemu.md",
    "rpi4": "running_rpi4.md",
}
HEADING = "\n## Facts\n"


def value(facts: Board, name: str) -> str:
    """What the board's file says of one of the facts."""
    raw = ", ".join(f"`{file}` at {offset // 1024} KiB" for offset, file in sorted(facts.raw.items()))
    files = ", ".join(f"`{file}`" for file in facts.boot_files)
    loads = ", ".join(f"`{variable}` {place:#x}" for variable, place in facts.loader.loads.items())
    buses = ", ".join(f"`{bus}` is `{device}`" for bus, device in facts.i2c.items())
    return {
        "memory": f"{facts.memory // MIB} MiB",
        "storage": f"`{facts.loader.storage}` in U-Boot; partitions from {facts.first_partition // MIB} MiB",
        "boot offsets": raw or (f"files on `kos-boot`: {files}" if files else "none on the disk"),
        "load addresses": loads or "the boot loader's own",
        "device tree": f"`{facts.device_tree}`" if facts.device_tree else "the boot loader's own",
        "console": f"`{facts.console}`",
        "Ethernet": f"`{facts.ethernet}`",
        "I2C buses": buses or "none",
        "devices": ", ".join(f"{base:#x} to {base + size - 1:#x}" for base, size in facts.devices),
    }[name]


def table(platform: str) -> str:
    """The section of a board's page."""
    facts = board(PlatformSpec.parse(platform))
    rows = [f"| {name} | {value(facts, name)} | {facts.sources[name]} |" for name in FACTS]
    head = "What the board's file says, and where that is from. Written by `python -m kos.tool.board_facts`."
    return "\n".join([HEADING, head, "", "| fact | | source |", "| --- | --- | --- |", *rows]) + "\n"


def page(platform: str) -> str:
    """A board's page as it should be."""
    text = (GUIDES / PAGES[platform]).read_text()
    return text.partition(HEADING)[0].rstrip("\n") + "\n" + table(platform)


if __name__ == "__main__":
    for name, file in PAGES.items():
        (GUIDES / file).write_text(page(name))
