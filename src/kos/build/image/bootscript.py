"""The boot loader's two scripts, for U-Boot's hush parser.

`boot.scr`, on the boot partition, is written once in a device's life: it chooses a slot by the boot record
and counts the attempt. `slot.scr`, in each slot's bootfs, belongs to a generation: it starts that
generation's kernel.

Debian's U-Boot builds have no boot counter and no redundant environment (docs/adr/0040-boot-counting.md), but
they run scripts and write sectors, so `boot.scr` keeps the record that `kos.device.store.bootrecord` defines.
It starts a slot on trial only after the count was written, and starts *something* when the record cannot be
read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kos.build.image.run import run
from kos.device.store import bootrecord
from kos.platforms.board import BootLoader

SECTOR = 512
_RECORD = "kos_seq kos_good kos_trial kos_left"


_READ = """
setenv kos_seq{index} -
if {interface} read {scratch:#x} {sector:#x} {count:#x}; then
if env import -c {scratch:#x} {size:#x} {names}; then
setenv kos_seq{index} ${{kos_seq}}
setenv kos_good{index} ${{kos_good}}
setenv kos_trial{index} ${{kos_trial}}
setenv kos_left{index} ${{kos_left}}
fi
fi
"""

# Copy `index` is the newer one where the pair of numbers says so; `other` is then the sector to write next.
_TAKE = """
if test "${{kos_seq0}}${{kos_seq1}}" = "{pair}"; then
setenv kos_seq ${{kos_seq{index}}}
setenv kos_good ${{kos_good{index}}}
setenv kos_trial ${{kos_trial{index}}}
setenv kos_left ${{kos_left{index}}}
setenv kos_write {other:#x}
fi
"""

# A good slot whose system could not be mounted or run comes after the other one.
_NOTE = """
setenv {name} -
if {interface} read {scratch:#x} {sector:#x} 1; then
env import -t {scratch:#x} {size:#x} {name}
fi
"""

_CHOOSE = """
setenv kos_use ${{kos_good}}
if test "${{{note}}}" = "${{kos_good}}"; then
{others}
fi
setenv kos_fewer -
{fewer}
if test "${{kos_trial}}" != "-"; then
if test "${{kos_fewer}}" != "-"; then
{following}
setenv kos_left ${{kos_fewer}}
setenv kos_seq ${{kos_following}}
env export -c -s {size:#x} {scratch:#x} {names}
if {interface} write {scratch:#x} ${{kos_write}} {count:#x}; then
setenv kos_use ${{kos_trial}}
fi
fi
fi
for kos_slot in ${{kos_use}} ${{kos_good}} a b; do
echo "KOS: starting slot ${{kos_slot}}"
setenv kos_part 0
{parts}
if load {storage}:${{kos_part}} {scratch:#x} slot.scr; then source {scratch:#x}; fi
echo "KOS: slot ${{kos_slot}} did not start"
done
sleep 5
reset
"""


def boot_script(loader: BootLoader, record_sector: int, bootfs: dict[str, int]) -> str:
    """`boot.scr`: `record_sector` is where kos-env begins, `bootfs` maps each slot to its partition's
    number.
    """
    interface = loader.storage.split(" ")[0]
    sectors = [record_sector + offset // SECTOR for offset in bootrecord.COPY_OFFSETS]
    common = {
        "interface": interface,
        "storage": loader.storage,
        "scratch": loader.scratch,
        "size": bootrecord.COPY_SIZE,
        "count": bootrecord.COPY_SIZE // SECTOR,
        "names": _RECORD,
    }
    texts = ["setenv kos_good a\nsetenv kos_trial -\nsetenv kos_left 0\n"]
    texts += [_READ.format(index=index, sector=sector, **common) for index, sector in enumerate(sectors)]
    for pair, index in _pairs():
        texts.append(_TAKE.format(pair=pair, index=index, other=sectors[1 - index]))
    note = record_sector + bootrecord.NOTE_OFFSET // SECTOR
    sizes = {"size": bootrecord.NOTE_SIZE}
    texts.append(_NOTE.format(**(common | sizes), name=bootrecord.NOTE_SLOT, sector=note))
    first, second = bootrecord.SLOTS
    others = (
        _when("kos_good", slot, f"setenv kos_use {other}")
        for slot, other in ((first, second), (second, first))
    )
    parts = (_when("kos_slot", slot, f"setenv kos_part {number:x}") for slot, number in bootfs.items())
    fewer = (
        _when("kos_left", left, f"setenv kos_fewer {left - 1}") for left in range(1, bootrecord.TRIES_MAX + 1)
    )
    following = (
        _when("kos_seq", number, f"setenv kos_following {bootrecord.after(number)}")
        for number in range(1, bootrecord.SEQUENCES + 1)
    )
    texts.append(
        _CHOOSE.format(
            note=bootrecord.NOTE_SLOT,
            others="\n".join(others),
            parts="\n".join(parts),
            fewer="\n".join(fewer),
            following="\n".join(following),
            **common,
        )
    )
    return "".join(texts)


def _when(variable: str, value: object, command: str) -> str:
    return f'if test "${{{variable}}}" = "{value}"; then {command}; fi'


def _pairs() -> Iterator[tuple[str, int]]:
    """What the two numbers can be, `-` for a damaged copy, and the copy that is then the newer one."""
    for number in range(1, bootrecord.SEQUENCES + 1):
        following = bootrecord.after(number)
        yield from ((f"{following}{number}", 0), (f"{number}{following}", 1), (f"{number}{number}", 1))
        yield from ((f"{number}-", 0), (f"-{number}", 1))


def slot_script(loader: BootLoader, arguments: str, device_tree: str) -> str:
    """`slot.scr`: load and start what lies beside it. `device_tree` is empty where the boot loader has it
    itself.
    """
    load = f"load {loader.storage}:${{kos_part}}"
    fdt = "${fdt_addr_r}" if device_tree else "${fdtcontroladdr}"
    loads = [f"{load} ${{kernel_addr_r}} kernel"]
    if device_tree:
        loads.append(f"{load} ${{fdt_addr_r}} {device_tree}")
    loads.append(f"{load} ${{ramdisk_addr_r}} initramfs")
    address, size = loader.unpack_at
    places = "".join(f"setenv {name} {place:#x}\n" for name, place in loader.loads.items())
    return (
        f"{places}"
        f'setenv bootargs "{arguments} kos.slot=${{kos_slot}} kos.root=kos-root-${{kos_slot}}"\n'
        f"setenv kernel_comp_addr_r {address:#x}\nsetenv kernel_comp_size {size:#x}\n"
        f"{' && '.join(loads)} && {loader.start} ${{kernel_addr_r}} ${{ramdisk_addr_r}}:${{filesize}} {fdt}\n"
    )


def compiled(text: str) -> bytes:
    """The script as the image that U-Boot's `source` takes."""
    with tempfile.TemporaryDirectory() as folder:
        source, image = Path(folder, "script"), Path(folder, "image")
        source.write_text(text)
        run("mkimage", "-A", "arm", "-T", "script", "-C", "none", "-n", "KOS", "-d", source, image)
        return image.read_bytes()
