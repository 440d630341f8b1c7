"""Build the images of a device: root, bootfs and a complete disk"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import completion, options, output

SECTION = "Build"


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True), default=".", metavar="[SOURCE]")
@click.option(
    "-p",
    "--platform",
    default="qemu-arm-virt",
    show_default=True,
    shell_complete=completion.platforms,
    help="Platform spec of the device.",
)
@options.LOCKED
@options.keys("none on the disk")
@options.JSON
@click.option(
    "-o",
    "--output",
    "destination",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write the images.  [default: build/PLATFORM]",
)
def command(
    source: Path, platform: str, locked: bool, keys: Path | None, as_json: bool, destination: Path | None
) -> None:
    """Build disk.img, bootfs.img and root.squashfs for SOURCE, a project or a manifest.zip, and print their
    sizes.

    The same inputs give the same bytes. Without --keys the disk holds no keys: `kos-tool bootstrap` adds
    those of each device.
    """
    import shutil
    import tempfile

    from kos.build import files
    from kos.build.image import device
    from kos.build.sdk import install
    from kos.manifest import PlatformSpec
    from kos.platforms import board
    from kos.tool.device_image import contents
    from kos.tool.request import RunRequest

    spec = PlatformSpec.parse(platform)
    facts, sdk = board(spec), install.current()
    request = RunRequest(source, platform, keys=keys, locked=locked)
    request.manifest()  # said before anything is made
    folder = destination or Path("build") / platform.replace(",", "-")
    files.check_place(folder / "disk.img")
    with tempfile.TemporaryDirectory(dir=files.nearest(folder), prefix=".part-") as scratch:
        filled = contents(request, facts, sdk, Path(scratch, "contents"), make_keys=False)
        device.write(facts, sdk, "device", filled, Path(scratch, "disk.img"))
        folder.mkdir(parents=True, exist_ok=True)
        Path(scratch, "disk.img").replace(folder / "disk.img")
        shutil.copy(filled.system.bootfs, folder / "bootfs.img")
        shutil.copy(filled.system.root, folder / "root.squashfs")
    sizes = filled.system.sizes()
    if as_json:
        output.result_json({"path": str(folder), "sizes": sizes, "total": sum(sizes.values())})
        return
    rows = [(name, round(size / 1e6, 1)) for name, size in {**sizes, "total": sum(sizes.values())}.items()]
    output.result(output.table(["part", "MB"], rows))
    output.say(f"images are in {folder}")
