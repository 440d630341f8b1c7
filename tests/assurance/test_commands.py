"""`manifest.check` and `manifest.query`, as a user runs them."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import pytest

from kos.build import manifest_zip
from kos.keys import pairs, signing
from kos.manifest import BuiltPythonImage, codec
from kos.manifest.load import load_project
from kos.tool.main import run
from tests.assurance.world import clean

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "assurance"
PLATFORM = {"vmm_example": "qemu-arm-virt,hyp=on"}  # the host runs no guests
WEATHER = ROOT / "examples" / "weather_station"
SYSTEM = """\
from kos.manifest import App, PythonImage, System
from kos.systems import Poukai

class Vault(System):
    base = Poukai
    def setup(self, ctx):
        return ctx.put_app(App("vault", PythonImage("vault"))).connect_protocol("vault", Poukai.keys)
"""
WAIVERS = "".join(
    f'[[waiver]]\nrule = "{rule}"\napp = "vault"\nowner = "Ada"\nreason = "mediator"\nexpires = 2999-01-01\n'
    for rule in ("sensitive-port", "events-not-logged")
)


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    (tmp_path / "system.py").write_text(SYSTEM)
    return tmp_path


BOARDS = ("qemu-arm-virt,hyp=on", "rpi4,hyp=on", "imx8mm-evk,hyp=on", "portenta-x8", "am335x")
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/system.py"))


@pytest.mark.parametrize(
    ("example", "platform"),
    [
        (example, platform)
        for example in EXAMPLES
        for platform in ("host", *BOARDS)
        if example not in PLATFORM or "hyp=on" in platform
    ],
)
def test_an_example_is_clean_or_carries_waivers(
    example: str, platform: str, capsys: pytest.CaptureFixture[str]
):
    code = run(["manifest.check", str(ROOT / "examples" / example), "--threshold", "low", "-p", platform])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_report_of_an_example_is_the_reviewed_one(example: str, capsys: pytest.CaptureFixture[str]):
    run(["manifest.check", str(ROOT / "examples" / example), "-p", PLATFORM.get(example, "host")])
    expected = (GOLDEN / f"{example}.txt").read_text()
    assert capsys.readouterr().out == expected, (
        f"review it, then: kos-tool manifest.check examples/{example} > tests/golden/assurance/{example}.txt"
        + (f" -p {PLATFORM[example]}" if example in PLATFORM else "")
    )


def test_a_finding_decides_the_exit_code(vault: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["manifest.check", str(vault)]) == 5
    out = capsys.readouterr().out
    assert "system.py:7: high [sensitive-port] vault" in out
    assert run(["manifest.check", str(vault), "--threshold", "critical"]) == 0


def test_waivers_are_taken_from_beside_the_system(vault: Path, capsys: pytest.CaptureFixture[str]):
    (vault / "waivers.toml").write_text(WAIVERS)
    assert run(["manifest.check", str(vault)]) == 0
    assert "until 2999-01-01, by Ada: mediator" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["json", "sarif", "html"])
def test_a_report_goes_into_a_file(vault: Path, kind: str):
    out = vault / "report"
    assert run(["manifest.check", str(vault), "--format", kind, "-o", str(out)]) == 5
    assert "sensitive-port" in out.read_text()


def test_the_sarif_leads_from_the_top_of_the_repository_to_the_line(vault: Path):
    project = vault / "devices" / "a vault"
    project.mkdir(parents=True)
    (vault / ".git").mkdir()
    (vault / "system.py").rename(project / "system.py")
    out = vault / "report.sarif"
    run(["manifest.check", str(project), "--format", "sarif", "-o", str(out)])
    (result,) = [
        result
        for result in json.loads(out.read_text())["runs"][0]["results"]
        if result["ruleId"] == "sensitive-port"
    ]
    place = result["locations"][0]["physicalLocation"]
    # As a viewer does it: the path from the top of the repository, and the line in that file.
    file = vault / unquote(place["artifactLocation"]["uri"])
    line = file.read_text().splitlines()[place["region"]["startLine"] - 1]
    assert '.connect_protocol("vault", Poukai.keys)' in line


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]):
    assert run(["manifest.check", "--list-rules"]) == 0
    assert "sensitive-port" in capsys.readouterr().out


def test_a_manifest_with_dangling_grants_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    world = clean()
    world.grant("sensor", "ghost_protocol")
    (tmp_path / "manifest.json").write_text(json.dumps(world.manifest))
    assert run(["manifest.check", str(tmp_path / "manifest.json")]) == 6
    assert "undeclared-port" in capsys.readouterr().out


def zip_of(project: Path, files: dict[str, bytes]) -> Path:
    """A built system with one Python app that has these files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    blob = data.getvalue()
    digest = sha256(blob).hexdigest()
    value = codec.to_json(load_project(project, {}).manifest())
    value["apps"]["vault"]["image"] = {
        "kind": "python",
        "sha256": digest,
        "size": len(blob),
        "entry": "vault:main",
    }
    manifest = codec.from_json(value)
    assert isinstance(manifest.apps["vault"].image, BuiltPythonImage)
    (project / digest).write_bytes(blob)
    path = project / "manifest.zip"
    manifest_zip.write(path, manifest, {digest: project / digest})
    return path


def test_an_image_is_judged_too(vault: Path, capsys: pytest.CaptureFixture[str]):
    files = {"site/vault.py": b"", "site/id": b"-----BEGIN PRIVATE KEY-----"}
    files["site/smbus2-0.5.0.dist-info/METADATA"] = b""
    path = zip_of(vault, files)
    assert run(["manifest.check", str(path)]) == 6
    out = capsys.readouterr().out
    assert "vault has a private key in site/id" in out
    assert "the image is not signed" in out
    assert "smbus2 0.5.0, and there is no SBOM" in out
    sbom = vault / "sbom.json"
    sbom.write_text(json.dumps({"components": [{"name": "smbus2", "version": "0.5.0"}]}))
    run(["manifest.check", str(path), "--sbom", str(sbom)])
    assert "smbus2" not in capsys.readouterr().out


def test_a_signature_counts_when_its_key_is_trusted(vault: Path, capsys: pytest.CaptureFixture[str]):
    path = zip_of(vault, {"site/vault.py": b""})
    pairs.generate(vault / "keys", [("release", "ed25519")])
    assert run(["manifest.sign", str(path), "--key", str(vault / "keys" / "release.key")]) == 0
    capsys.readouterr()

    def findings(*more: str) -> str:
        run(["manifest.check", str(path), *more])
        return capsys.readouterr().out

    assert "[unsigned]" not in findings()
    other = vault / "trust.json"
    other.write_bytes(signing.Trust(frozenset({"0" * 64})).dump())
    assert "does not verify with a trusted key" in findings("--trust", str(other))
    public = (vault / "keys" / "release.pub").read_bytes().hex()
    other.write_bytes(signing.Trust(frozenset({public})).dump())
    assert "[unsigned]" not in findings("--trust", str(other))


def test_what_is_known_of_a_key_decides(vault: Path, capsys: pytest.CaptureFixture[str]):
    path = zip_of(vault, {"site/vault.py": b""})
    pairs.generate(vault / "keys", [("laptop", "ed25519")])
    assert run(["manifest.sign", str(path), "--key", str(vault / "keys" / "laptop.key")]) == 0
    public = (vault / "keys" / "laptop.pub").read_bytes().hex()
    (vault / "signing_keys.toml").write_text(
        f'[[key]]\npublic = "{public}"\nuse = "development"\nexpires = 2020-01-01\n'
    )
    capsys.readouterr()
    assert run(["manifest.check", str(path)]) == 6
    out = capsys.readouterr().out
    assert f"the image is signed with the development key {public[:16]}" in out
    assert f"key {public[:16]} expired on 2020-01-01" in out
    other = vault / "keys.toml"
    other.write_text(f'[[key]]\npublic = "{public}"\nuse = "release"\n')
    run(["manifest.check", str(path), "--signing-keys", str(other)])
    out = capsys.readouterr().out
    assert "[development-key]" not in out and "[expired-key]" not in out


def test_a_status_document_is_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    world = clean()
    world.running["apps"]["sensor"]["descriptors"].append({"fd": 9, "kind": "host:/etc/shadow"})
    (tmp_path / "manifest.json").write_text(json.dumps(world.manifest))
    (tmp_path / "status.json").write_text(json.dumps(world.running))
    arguments = ["manifest.check", str(tmp_path / "manifest.json"), "--status", str(tmp_path / "status.json")]
    assert run(arguments) == 5
    assert "sensor holds descriptor 9, host:/etc/shadow" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "not JSON"), (b"\xff", "not UTF-8"), (b"[]", "status: expected an object")],
)
def test_a_wrong_status_document_is_an_error(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "status.json").write_bytes(content)
    assert run(["manifest.check", str(WEATHER), "--status", str(tmp_path / "status.json")]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "status.json" in err


def test_questions(capsys: pytest.CaptureFixture[str]):
    assert run(["manifest.query", "what-can", "wx_sensor", "do", "--project", str(WEATHER)]) == 0
    assert "call station over weather_protocol" in capsys.readouterr().out
    assert run(["manifest.query", "who-can-reach", "log_server", "--project", str(WEATHER)]) == 0
    assert "wx_sensor, through station" in capsys.readouterr().out
    assert (
        run(
            [
                "manifest.query",
                "path",
                "wx_sensor",
                "log_server",
                "--project",
                str(WEATHER),
                "--format",
                "svg",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.startswith("<svg")
    assert run(["manifest.query", "diff", str(ROOT / "examples" / "hello"), str(WEATHER)]) == 0
    assert "app wx_sensor is new" in capsys.readouterr().out


def test_wrong_questions(capsys: pytest.CaptureFixture[str]):
    assert run(["manifest.query", "diff", str(WEATHER)]) == 1
    assert run(["manifest.query", "what-can", "ghost", "--project", str(WEATHER)]) == 1
    assert "no app 'ghost'" in capsys.readouterr().err
