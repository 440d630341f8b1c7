"""The boot loader's two scripts, for U-Boot's hush parser.

`boot.scr`, on the boot partition, is written once in a device's life: it chooses a slot by the boot record
and counts the attempt. `slot.scr`, in each slot's bootfs, belongs to a generation: it starts that
generation's kernel.

Debian's U-Boot builds have no boot counter and no redundant environment (docs/adr/0010-boot-counting.md), but
they run scripts and write sectors, so `boot.scr` keeps the record that `kos.device.store.bootrecord` defines.
It starts a slot on trial only after the count was written, and starts *something* when the record cannot be
read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from kos.build.image.run import run
from kos.device.store import bootrecord
from kos.platforms.board import BootLoader

SECTOR = 512
_RECORD = "kos_seq kos_good kos_trial kos_left"


_READ = """
if {interface} read {scratch:#x} {sector:#x} {count:#x}; then
if env import -c {scratch:#x} {size:#x} {names}; then
if itest 0x${{kos_seq}} -gt 0x${{kos_best}}; then
setenv kos_best ${{kos_seq}}
setenv kos_use ${{kos_good}}
setenv kos_safe ${{kos_good}}
setenv kos_tried ${{kos_trial}}
setenv kos_tries ${{kos_left}}
setenv kos_next {other:#x}
fi
fi
fi
"""

_CHOOSE = """
if test "${{kos_tried}}" != "-"; then
if itest 0x${{kos_tries}} -gt 0; then
setexpr kos_seq 0x${{kos_best}} + 1
setexpr kos_left 0x${{kos_tries}} - 1
setenv kos_good ${{kos_safe}}
setenv kos_trial ${{kos_tried}}
env export -c -s {size:#x} {scratch:#x} {names}
if {interface} write {scratch:#x} ${{kos_next}} {count:#x}; then
setenv kos_use ${{kos_tried}}
fi
fi
fi
for kos_slot in ${{kos_use}} ${{kos_safe}} a b; do
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
    start = "setenv kos_best 0\nsetenv kos_use a\nsetenv kos_safe b\nsetenv kos_tried -\nsetenv kos_tries 0\n"
    read = "".join(
        _READ.format(sector=here, other=there, **common)
        for here, there in zip(sectors, reversed(sectors), strict=True)
    )
    parts = "\n".join(
        f'if test "${{kos_slot}}" = "{slot}"; then setenv kos_part {number:x}; fi'
        for slot, number in bootfs.items()
    )
    return start + read + _CHOOSE.format(parts=parts, **common)


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
    return (
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
