"""Flash a system image to a device: SD card, eMMC or image file"""

from __future__ import annotations

import os
from pathlib import Path

import click

from kos.tool import completion, options, output

SECTION = "Devices"


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True), metavar="SOURCE")
@click.option(
    "-p", "--platform", required=True, shell_complete=completion.platforms, help="Platform spec of the board."
)
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="Block device of a card, or an image file."
)
@click.option(
    "--uboot",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The vendor's boot loader, where Debian has none.",
)
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Whose signatures upgrades need: a trusted.json.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written where, and write nothing.")
@options.keys("new ones for the device")
@options.LOCKED
@options.JSON
def command(
    source: Path,
    platform: str,
    target: Path | None,
    uboot: Path | None,
    trust: Path | None,
    dry_run: bool,
    keys: Path | None,
    locked: bool,
    as_json: bool,
) -> None:
    """Write SOURCE, a manifest.zip or a project, to a device with keys of its own, read it back and verify
    it.

    am335x and rpi4 start from an SD card: --to names the card's device, which must be removable and not
    mounted. imx8mm-evk and portenta-x8 are written over USB by uuu, or with --to to a file. Keys are made new
    for the device unless --keys gives them; their public halves are printed.
    """
    import tempfile
    from dataclasses import replace

    from kos.abi.bounded import read_bounded
    from kos.abi.errors import KosError
    from kos.build import files
    from kos.build.image import device, flash
    from kos.build.sdk import install
    from kos.keys import signing
    from kos.manifest import PlatformSpec
    from kos.platforms import board
    from kos.tool.device_image import contents, trusting
    from kos.tool.request import RunRequest

    spec = PlatformSpec.parse(platform)
    facts, sdk = board(spec), install.current()
    if target is None and not facts.usb_flash:
        raise KosError(
            f"{spec.name} starts from a card", hint="name it: --to /dev/sdX, or a file: --to card.img"
        )
    # Refused before the images are made, which takes a while.
    if target is not None and not flash.check_target(target, 0):
        files.check_place(target)
    if uboot is not None:
        device.raw_areas(facts, dict.fromkeys(facts.raw.values(), uboot))
        uboot.open("rb").close()
    if trust is not None:
        signing.load_trust(read_bounded(trust, signing.TRUST_MAX), str(trust))
    with tempfile.TemporaryDirectory(prefix="kos-bootstrap-") as folder:
        scratch = Path(folder)
        request = RunRequest(source, platform, keys=keys, locked=locked)
        filled = replace(contents(request, facts, sdk, scratch / "contents"), u_boot=uboot)
        if trust:
            filled = trusting(filled, trust, scratch)
        image = scratch / "disk.img"
        plan = device.write(facts, sdk, "device", filled, image)
        rows = [(f"{raw.offset:#x}", raw.content.stat().st_size, raw.content.name) for raw in plan.raw]
        rows += [(f"{plan.offsets()[part.name]:#x}", part.size, part.name) for part in plan.partitions]
        public = {
            path.stem: path.read_bytes().hex() for path in sorted((scratch / "contents/keys").glob("*.pub"))
        }
        if dry_run:
            if as_json:
                output.result_json(
                    {"target": str(target or "usb"), "size": plan.size, "areas": rows, "keys": public}
                )
            else:
                output.result(output.table(["offset", "bytes", "what"], rows))
                output.say(f"{plan.size} bytes would be written to {target or 'the eMMC, over USB'}")
                if target is None and uboot is not None:
                    output.say(f"by uuu with this script:\n{flash.uuu_script(facts, image, uboot)}")
            return
        if target is None:
            if uboot is None:
                raise KosError(
                    f"{spec.name} needs the vendor's boot loader", hint="pass it with --uboot FILE"
                )
            script = scratch / "kos.uuu"
            script.write_text(flash.uuu_script(facts, image, uboot))
            output.step("waiting for the board in its serial download mode")
            flash.over_usb(script)
        else:
            if flash.check_target(target, plan.size) and os.environ.get("KOS_YES") != "1":
                click.confirm(f"Everything on {target} will be lost. Write to it?", abort=True, err=True)
            output.step(f"writing {plan.size / 1e6:.0f} MB to {target} and reading it back")
            flash.write(image, target)
    if as_json:
        output.result_json({"target": str(target or "usb"), "size": plan.size, "keys": public})
    else:
        output.result(output.table(["key", "public"], list(public.items())))
