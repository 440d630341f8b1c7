"""Show why apps ended badly, and their last words"""

from __future__ import annotations

from typing import Any

import click

from kos.tool import completion, options, output, runs

SECTION = "Debugging"


@click.command()
@options.SYSTEM
@click.option("--app", shell_complete=completion.apps, help="Only the records of that app.")
@click.option("--number", type=int, help="One record, with all that is known.")
@options.JSON
def command(system: str | None, app: str | None, number: int | None, as_json: bool) -> None:
    """Show why apps of a running system ended badly: a table, or one record with the app's last lines."""
    with runs.connect(system) as client:
        records = client.request("post_mortem", app=app)["records"]
    if number is not None:
        records = [record for record in records if record["number"] == number]
        if not records:
            raise click.UsageError(f"there is no record {number}")
    if as_json:
        output.result_json(records)
    elif number is not None:
        for line in text_of(records[0]):
            output.result(line)
    elif not records:
        output.say("no app ended badly")
    else:
        headings = ["number", "when", "app", "reason", "ran s", "memory KiB"]
        rows = [
            [
                one["number"],
                output.when(one["time"]),
                one["app"],
                one["reason"],
                round(one["ran"]),
                one["memory"] // 1024,
            ]
            for one in records
        ]
        output.result(output.table(headings, rows))


def text_of(record: dict[str, Any]) -> list[str]:
    """A record for people."""
    lines = [
        f"{record['app']}: {record['reason']}",
        f"{output.when(record['time'])}, release {record['release']}, after {record['ran']:g} s,"
        f" restarted {record['restarts']} times before",
    ]
    if record["where"]:
        where = record["where"]
        lines += [f"at {where.get('in', where['pc'])}, arguments {' '.join(where['arguments'])}"]
    for name in ("crash", "traceback"):
        if record[name]:
            lines += ["", f"{name}:", *(f"  {line}" for line in record[name])]
    if record["lines"]:
        lines += ["", "last lines:", *(f"  {line}" for line in record["lines"])]
    return lines
