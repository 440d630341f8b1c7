"""What the templates make builds and runs as it is."""

from __future__ import annotations

import shutil

import pytest

from tests.tool.running import going_on, kos_tool

pytestmark = pytest.mark.timeout(600)


def test_a_new_system_with_both_kinds_of_app_builds_and_runs(tmp_path):
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap: apt-get install bubblewrap")
    made = kos_tool("new.system", "greenhouse", cwd=tmp_path)
    assert made.stdout == "greenhouse\n" and made.returncode == 0
    project = tmp_path / "greenhouse"
    assert (project / ".gitignore").exists() and "@" not in (project / "system.py").read_text()
    lines = []
    for kind, name in (("c", "valve"), ("python", "sky")):
        done = kos_tool(f"new.app.{kind}", name, "--project", project)
        assert done.returncode == 0
        # The lines that the command says to add are all that is missing.
        lines += [line.split(": ", 1)[1] for line in done.stderr.splitlines()]
    calls = "".join(line for line in lines if line.startswith("."))
    text = (project / "system.py").read_text().replace("return ctx", "return ctx" + calls)
    imports = [line for line in lines if line.startswith("from ")]
    (project / "system.py").write_text(text.replace("\n\n\n", "\n".join(["", *imports, "\n\n"]), 1))
    with going_on("run", project, "--name", "new-test", output=tmp_path / "out", **runtime(tmp_path)) as run:
        run.until_printed("valve is ready")
        run.until_printed("sky is ready")
        run.until_printed("hello 2 from greenhouse")
        assert run.interrupt() == 130


def runtime(tmp_path) -> dict[str, str]:
    place = tmp_path / "runtime"
    place.mkdir(mode=0o700, exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(place), "KOS_CONFIG_HELLO__INTERVAL": "0.05"}


def test_it_builds_for_a_device_too(tmp_path):
    kos_tool("new.system", "greenhouse", cwd=tmp_path)
    kos_tool("new.app.c", "valve", "--project", tmp_path / "greenhouse")
    system = tmp_path / "greenhouse/system.py"
    text = system.read_text().replace("import App,", "import App, CImage,")
    system.write_text(text.replace("return ctx", 'return ctx.put_app(App("valve", CImage("apps/valve")))'))
    for platform in ("qemu-arm-virt", "am335x"):
        done = kos_tool("manifest", tmp_path / "greenhouse", "-p", platform)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith(f"build/{platform}/manifest.zip")
