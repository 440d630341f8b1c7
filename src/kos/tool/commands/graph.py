"""Show who serves and who uses each port, as text or a picture"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import options, output, packages

SECTION = "Build"


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True), default=".", metavar="[SOURCE]")
@options.PLATFORM
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture there too.")
@click.option("--dot", is_flag=True, help="Print graphviz's language instead of text.")
def command(source: Path, platform: str, svg: Path | None, dot: bool) -> None:
    """Print the graph of a system: which app serves each port, and which may use it.

    SOURCE is a system project or a manifest.zip; nothing is built.
    """
    from kos.tool import graph
    from kos.tool.request import RunRequest

    manifest = RunRequest(source, platform).manifest()
    if svg is not None:
        _draw(graph.as_dot(manifest), svg)
        output.say(f"drawn: {svg}")
    output.result(graph.as_dot(manifest) if dot else graph.as_text(manifest))


def _draw(text: str, destination: Path) -> None:
    from kos.build import files

    if shutil.which("dot") is None:
        packages.require("graph")
    try:
        done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        raise KosError(
            "a picture needs graphviz", hint="apt-get install graphviz; text needs nothing"
        ) from None
    if done.returncode:
        raise KosError(f"graphviz could not draw it: {done.stderr.decode(errors='replace').strip()}")
    files.write_atomic(destination, done.stdout)
