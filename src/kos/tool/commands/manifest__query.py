"""Ask who can reach what in a system"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Build"


@click.command()
@click.argument("question", type=click.Choice(["who-can-reach", "what-can", "path", "diff"]))
@click.argument("words", nargs=-1, metavar="[NAME…]")
@options.IN_PROJECT
@options.PLATFORM
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "json", "svg"]),
    default="text",
    show_default=True,
    help="How to print the answer.",
)
def command(question: str, words: tuple[str, ...], project: Path, platform: str, kind: str) -> None:
    """Ask who can reach what in a system.

    \b
    who-can-reach KEY|PORT|APP   every app that can, with the path that proves it; key:NAME is a key
    what-can APP [do]            everything that an app is given, and whom it reaches through others
    path APP APP                 the shortest way from one to the other
    diff OLD NEW                 authority gained and lost; each is a project, manifest.json or manifest.zip
    """
    from kos.assurance.query import ask, diff
    from kos.tool import assurance

    if question == "diff":
        if len(words) != 2:
            raise click.UsageError("diff takes two systems: OLD NEW")
        old, new = (assurance.read_subject(Path(word), platform).manifest for word in words)
        answer = diff(old, new)
    else:
        if question == "what-can" and words[1:] == ("do",):
            words = words[:1]
        answer = ask(assurance.read_subject(project, platform).manifest, question, *words)
    output.result(answer.render(kind).rstrip("\n"))
