"""Rules are found by being there; a plug-in brings more; each says everything that a reader needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kos.assurance import AssuranceError, all_rules, check, rule_by_id
from kos.assurance.docs import pages
from kos.assurance.registry import plug_ins
from kos.assurance.rule import Rule, etsi, iec, nist
from kos.manifest import App, Context, PythonImage

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "assurance"
GROUPS = {
    "routing",
    "deadlock",
    "hardware",
    "resources",
    "sandbox",
    "network",
    "virtual_machines",
    "debug",
    "integrity",
    "operation",
}


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_a_rule_is_complete(rule: Rule):
    module = rule.look.__module__.rsplit(".", 1)[-1]
    assert rule.id == module.replace("_", "-"), "the file is named for the rule"
    assert rule.group in GROUPS
    assert rule.sources, "a rule says where it comes from"
    for text in (rule.title, rule.looks_at, rule.why, rule.fix):
        assert len(text) > 10
    assert not rule.title.endswith(".")
    assert not rule.fix.endswith(".")
    assert rule.why.endswith(".")


def test_every_group_has_rules():
    assert {rule.group for rule in all_rules()} == GROUPS


def test_an_unknown_rule_is_refused():
    with pytest.raises(AssuranceError, match="no rule 'nothing'"):
        rule_by_id("nothing")


def test_the_pages_are_current():
    for name, text in pages().items():
        assert (DOCS / name).read_text() == text, "run: python -m kos.assurance.docs docs/reference/assurance"
    assert {path.name for path in DOCS.glob("*.md")} == set(pages())


def test_the_rule_in_the_documentation_works_as_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = re.search(r"```python\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)[1]
    (tmp_path / "our_rules.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("no-python-on-valves", "our_rules:check", "kos.assurance.rules")
    (rule,) = plug_ins([point])
    manifest = Context("t").put_app(App("valve_1", PythonImage("valve"))).manifest()
    report = check(manifest, rules=[rule])
    assert [(f.rule.group, f.message) for f in report.findings] == [("our rules", "valve_1 is in Python")]
    sys.modules.pop("our_rules")


def test_an_installed_package_brings_its_rule(tmp_path: Path):
    """As a user's package does it: a check that knows nothing of it finds the entry point in its metadata."""
    source = re.search(r"```python\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)[1]
    points = re.search(
        r"```toml\n(\[project\.entry-points.*?)```", (DOCS / "index.md").read_text(), re.DOTALL
    )
    (tmp_path / "our_rules.py").write_text(source)
    metadata = tmp_path / "our_rules-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: our-rules\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        points[1].replace('project.entry-points."', "").replace('"', "")
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "kos.tool", "manifest.check", "--list-rules"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert re.search(r"our rules +no-python-on-valves +high +manifest", listed)
    command = [sys.executable, "-c", "from kos.assurance.docs import pages; print(*pages())"]
    written = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "our rules" not in written, "the pages in the tree are of our own rules"


def test_a_plug_in_that_does_not_load_is_named():
    with pytest.raises(AssuranceError, match="the plug-in 'gone' does not load: ModuleNotFoundError"):
        plug_ins([EntryPoint("gone", "no_such_module:check", "kos.assurance.rules")])


@pytest.mark.parametrize("cite", [lambda: etsi("5.6-77"), lambda: iec("CR 9.9"), lambda: nist("Magic")])
def test_a_clause_that_no_standard_has_is_refused(cite):
    with pytest.raises(AssuranceError, match="that a rule could cite"):
        cite()


def test_a_plug_in_that_is_no_rule_is_refused():
    with pytest.raises(AssuranceError, match="is function, expected a Rule"):
        plug_ins([EntryPoint("bad", "os.path:join", "kos.assurance.rules")])
