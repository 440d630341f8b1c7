"""Judge a system against the assurance rules"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Build"
WAIVERS = "waivers.toml"


@click.command()
@options.PROJECT
@options.PLATFORM
@click.option(
    "--profile",
    type=click.Choice(["development", "release"]),
    default="release",
    show_default=True,
    help="What the system is about to be used for.",
)
@click.option(
    "--threshold",
    type=click.Choice(["low", "medium", "high", "critical"]),
    default="medium",
    show_default=True,
    help="Fail where a finding is at least as bad.",
)
@click.option(
    "--waivers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"Findings that somebody answers for.  [default: {WAIVERS} beside the system]",
)
@click.option(
    "--status",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Status document of a running system, to judge that too.",
)
@click.option("--running", metavar="NAME", help="Judge that running system instead of PROJECT.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Keys whose signatures of a manifest.zip count.  [default: any]",
)
@click.option(
    "--signing-keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What is known of signing keys: use and last day.  [default: signing_keys.toml beside the system]",
)
@click.option(
    "--sbom",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CycloneDX SBOM of the images in a manifest.zip.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "json", "sarif", "html"]),
    default="text",
    show_default=True,
    help="How to print the report.",
)
@click.option(
    "-o",
    "--output",
    "destination",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report there.  [default: standard output]",
)
@click.option("--list-rules", is_flag=True, help="List the rules and check nothing.")
def command(
    project: Path,
    platform: str,
    profile: str,
    threshold: str,
    waivers: Path | None,
    status: Path | None,
    running: str | None,
    trust: Path | None,
    signing_keys: Path | None,
    sbom: Path | None,
    kind: str,
    destination: Path | None,
    list_rules: bool,
) -> int:
    """Judge a system against the assurance rules.

    PROJECT is a directory with a system.py, a manifest.json, or a manifest.zip, whose images are judged too.

    Exit code: 0 where nothing is as bad as the threshold, else 3 to 6 for low to critical.
    """
    from kos.assurance import Severity, check
    from kos.tool import assurance

    if list_rules:
        output.result(assurance.rule_table())
        return 0
    if running is not None:
        subject, seen = assurance.read_running(running)
    else:
        subject = assurance.read_subject(
            project, platform, images=True, sbom=sbom, trust=trust, keys=signing_keys
        )
        seen = assurance.read_status(status) if status else None
    report = check(
        subject.manifest,
        profile=profile,
        waivers=assurance.read_waivers(waivers or subject.directory / WAIVERS),
        board=assurance.board_of(subject.manifest),
        image=subject.image,
        running=seen,
    )
    text = replace(report, root=assurance.below_repository(subject.directory)).render(kind)
    if destination:
        destination.write_text(text)
        output.say(f"{destination}: found {len(report.findings)}, waived {len(report.waived)}")
    else:
        output.result(text.rstrip("\n"))
    return report.exit_code(Severity[threshold.upper()])
