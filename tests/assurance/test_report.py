"""A report says the same to people and to programs, and its exit code is the worst that counts."""

from __future__ import annotations

import json
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from kos.assurance import AssuranceError, Severity, Waiver, check
from kos.assurance.score import WEIGHTS
from kos.manifest import App, PythonImage, System
from kos.manifest.platform import PLATFORMS
from kos.systems import Poukai
from kos.tool.assurance import board_of
from tests.assurance.bad.deadlock import caller_as_urgent_as_its_server
from tests.assurance.bad.debug import release_with_a_remote_shell
from tests.assurance.bad.routing import ordinary_app_with_the_key_store
from tests.assurance.world import TODAY, World, clean

SARIF = Path(__file__).parents[1] / "golden" / "sarif-schema-2.1.0.json"
WAIVER = Waiver("sensitive-port", "sensor", "Ada Lovelace", "a <b>mediator</b>", date(2027, 4, 1))


def bad() -> World:
    """One critical finding of the system, one high and one medium of sensor, one low."""
    world = clean()
    release_with_a_remote_shell(world)
    ordinary_app_with_the_key_store(world)
    caller_as_urgent_as_its_server(world)
    return world


def test_the_exit_code_is_the_worst_at_or_above_the_threshold():
    world = bad()
    report = world.judge()
    assert report.worst is Severity.CRITICAL
    assert report.exit_code(Severity.CRITICAL) == report.exit_code() == 6
    world.manifest["options"].pop("remote_shell")
    assert world.judge().exit_code(Severity.HIGH) == 5
    assert world.judge().exit_code(Severity.CRITICAL) == 0
    low = clean()
    caller_as_urgent_as_its_server(low)
    assert (low.judge().exit_code(Severity.LOW), low.judge().exit_code(Severity.MEDIUM)) == (3, 0)
    assert clean().judge().exit_code() == 0


def test_findings_come_worst_first():
    severities = [finding.severity for finding in bad().judge().findings]
    assert severities == sorted(severities, reverse=True)
    assert len(severities) == 4


def test_a_waiver_takes_a_finding_away_and_is_listed():
    world = bad()
    world.waivers = [WAIVER]
    report = world.judge()
    assert "sensitive-port" not in {finding.rule.id for finding in report.findings}
    assert [(finding.rule.id, waiver.owner) for finding, waiver in report.waived] == [
        ("sensitive-port", "Ada Lovelace")
    ]
    assert report.unused_waivers() == ()
    assert "until 2027-04-01, by Ada Lovelace" in report.render("text")


def test_an_expired_waiver_waives_nothing():
    world = bad()
    world.waivers = [Waiver("sensitive-port", "sensor", "Ada Lovelace", "old", date(2026, 10, 31))]
    found = {finding.rule.id for finding in world.judge().findings}
    assert {"sensitive-port", "expired-waiver"} <= found


def test_a_waiver_for_another_app_covers_nothing():
    world = bad()
    world.waivers = [Waiver("sensitive-port", "station", "Ada Lovelace", "wrong app", date(2027, 1, 1))]
    report = world.judge()
    assert "sensitive-port" in {finding.rule.id for finding in report.findings}
    assert report.unused_waivers() == tuple(world.waivers)
    assert "covers nothing" in report.render("text")


def test_scores_are_the_weights_taken_from_100():
    scores = bad().judge().scores
    assert scores[None].value == 100 - WEIGHTS[Severity.CRITICAL]
    expected = 100 - WEIGHTS[Severity.HIGH] - WEIGHTS[Severity.MEDIUM] - WEIGHTS[Severity.LOW]
    assert scores["sensor"].value == expected
    assert scores["station"].value == 100


def test_a_score_does_not_go_below_0():
    world = clean()
    world.app("sensor")["resources"] = [{"type": kind} for kind in ("dma", "network", "keys", "kvm")]
    assert world.judge().scores["sensor"].value == 0


def test_the_text_says_what_where_why_and_how():
    text = bad().judge().render("text")
    assert "system.py:10: high [sensitive-port] sensor is granted kos_key_store_protocol" in text
    assert "  why: Those ports give power over the whole device" in text
    assert "ETSI EN 303 645 V2.1.1, provisions 5.6-7, 5.4-1" in text
    assert "  fix: let a small app of its own mediate" in text


def test_the_json_carries_every_finding():
    world = bad()
    world.waivers = [WAIVER]
    value = json.loads(world.judge().render("json"))
    assert (value["format"], value["version"], value["worst"]) == ("kos.assurance.report", 1, "critical")
    assert [finding["rule"] for finding in value["findings"]] == [
        "remote-shell",
        "events-not-logged",
        "call-to-equal-priority",
    ]
    assert value["waived"][0]["waiver"]["expires"] == "2027-04-01"
    assert all(finding["why"] and finding["fix"] and finding["sources"] for finding in value["findings"])


@pytest.mark.parametrize("make", [clean, bad], ids=["clean", "bad"])
def test_the_sarif_is_valid(make):
    world = make()
    world.waivers = [WAIVER]
    schema = json.loads(SARIF.read_text())
    jsonschema.Draft7Validator(schema).validate(json.loads(world.judge().render("sarif")))


def test_the_sarif_points_at_the_users_line():
    run = json.loads(bad().judge().render("sarif"))["runs"][0]
    result = next(result for result in run["results"] if result["ruleId"] == "sensitive-port")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "system.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 10}
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "sensitive-port"
    assert result["level"] == "error"


def test_the_sarif_marks_what_is_waived():
    world = bad()
    world.waivers = [WAIVER]
    results = json.loads(world.judge().render("sarif"))["runs"][0]["results"]
    suppressed = [result["ruleId"] for result in results if result.get("suppressions")]
    assert suppressed == ["sensitive-port"]


def test_a_finding_is_the_same_in_the_next_release_when_lines_move():
    before, after = bad(), bad()
    after.app("sensor")["where"] = "system.py:99"
    assert {f.fingerprint for f in before.judge().findings} == {f.fingerprint for f in after.judge().findings}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_html_escapes_what_it_was_given_and_fetches_nothing():
    world = bad()
    world.waivers = [WAIVER]
    text = world.judge().render("html")
    parser = _Tags()
    parser.feed(text)
    assert "a &lt;b&gt;mediator&lt;/b&gt;" in text
    assert "b" not in parser.tags
    assert "script" not in parser.tags
    assert parser.links == []


def test_an_unknown_kind_is_refused():
    with pytest.raises(AssuranceError, match="no report as 'pdf'"):
        clean().judge().render("pdf")


def test_a_report_says_what_it_did_not_look_at():
    report = check(Poukai().manifest())
    reasons = {skipped.rule.id: skipped.reason for skipped in report.skipped}
    assert reasons["digest-mismatch"] == "needs a built image"
    assert reasons["changed-file"] == "needs a running system"
    assert reasons["memory-overcommitted"] == "needs to know of the board: ram"
    development = check(Poukai().manifest(), profile="development")
    assert {s.rule.id: s.reason for s in development.skipped}["tracing"] == "does not apply to development"
    assert "Not looked at" in report.render("text")


def test_the_base_layer_is_clean_in_a_release():
    assert check(Poukai().manifest("host"), today=TODAY).findings == ()


def test_a_finding_is_at_the_line_of_the_users_manifest():
    class Mine(System):
        base = Poukai

        def setup(self, ctx):
            ctx = ctx.put_app(App("vault", PythonImage("apps/vault")))
            return ctx.connect_protocol("vault", Poukai.keys)

    finding = next(f for f in check(Mine().manifest()).findings if f.rule.id == "sensitive-port")
    line = Mine.setup.__code__.co_firstlineno + 2
    assert finding.where == f"test_report.py:{line}"


def test_the_base_layer_with_tracing_is_clean_in_development():
    class Traced(System):
        base = Poukai(admin=True, tracing=True)

        def setup(self, ctx):
            address = {"address": "10.90.0.2", "mask": "255.255.255.0", "gateway": "10.90.0.1"}
            return ctx.set_kos_options(tunnel_ips={"admin": address})

    manifest = Traced().manifest("host")
    assert check(manifest, profile="development", today=TODAY).findings == ()
    assert {finding.rule.id for finding in check(manifest, today=TODAY).findings} == {"tracing"}


@pytest.mark.parametrize("platform", [name for name, platform in PLATFORMS.items() if platform.architectures])
def test_the_whole_base_layer_is_clean_on_every_board(platform: str):
    class Connected(System):
        base = Poukai(admin=True)

        def setup(self, ctx):
            address = {"address": "10.90.0.2", "mask": "255.255.255.0", "gateway": "10.90.0.1"}
            return ctx.set_kos_options(persistent_boot=True, tunnel_ips={"admin": address})

    manifest = Connected().manifest(platform)
    assert check(manifest, board=board_of(manifest), today=TODAY).findings == ()
