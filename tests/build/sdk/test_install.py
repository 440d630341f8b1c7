"""Installing SDK versions, with the real apt, from a signed archive of the test's own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from kos.abi.errors import KosError
from kos.build.sdk import home, install, lock, sets, sources
from kos.build.sdk.install import Wanted
from kos.build.sdk.sets import PackageSet

from .debian import Archive

TOOLS = ("apt-get", "dpkg-deb", "gpg", "gpg-agent")
TINY = {
    "tiny": PackageSet("tiny", ("tiny",), closure=True, why="test"),
    "other": PackageSet("other", ("other",), closure=False, why="test"),
}
# Another process that installs, to be killed.
INSTALL = """
import sys
from pathlib import Path
from kos.build.sdk import install, sets, sources
from kos.build.sdk.install import Wanted
from kos.build.sdk.sets import PackageSet
sources.KEYRING = Path(sys.argv[1])
for name in ("tiny", "other"):
    sets.SETS[name] = PackageSet(name, (name,), name == "tiny", "test")
install.install("1.0.0", [Wanted("other", sys.argv[2]), Wanted("tiny", sys.argv[2])], print)
"""


@pytest.fixture
def archive(tmp_path, monkeypatch):
    for tool in TOOLS:
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}: apt-get install gpg gpg-agent")
    made = Archive(tmp_path, install.host_architecture())
    monkeypatch.setenv("KOS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KOS_SDK", raising=False)
    monkeypatch.setenv("KOS_DEBIAN_MIRROR", made.url)
    monkeypatch.setattr(sources, "KEYRING", made.keyring)
    for name, one in TINY.items():
        monkeypatch.setitem(sets.SETS, name, one)
    try:
        made.package("tiny", "1.0", depends="tiny-lib")
        made.package("tiny-lib", "2:3.4~rc1")
        made.package("other", "5", depends="tiny (= 1.0), nowhere | absent (>= 3), dash")
        made.publish()
        yield made
    finally:
        made.close()


def wanted(archive, *names):
    return [Wanted(name, archive.architecture) for name in names]


def bill(sdk):
    document = json.loads((sdk.path / install.SBOM_FILE).read_text())
    return sorted(component["name"] for component in document["components"])


def test_packages_are_unpacked_locked_and_listed(archive):
    said = []
    sdk = install.install("1.0.0", wanted(archive, "tiny", "other"), said.append)
    found = sdk.lock().sets
    assert [one.name for one in found[f"tiny-{archive.architecture}"]] == ["tiny", "tiny-lib"]
    library = sdk.folder(wanted(archive, "tiny")[0]) / "usr/share/tiny-lib"
    assert library.read_bytes().startswith(b"2:3.4~rc1")
    assert bill(sdk) == ["other", "tiny", "tiny-lib"]
    assert install.current().version == "1.0.0"
    assert any("downloading 2 packages" in text for text in said) and any(
        text.strip() == "100 %" for text in said
    )


def test_versions_lie_side_by_side_and_one_is_the_default(archive):
    install.install("1.0.0", wanted(archive, "tiny"), print)
    archive.package("tiny", "2.0", depends="tiny-lib")
    archive.publish()
    newer = install.install("1.1.0", wanted(archive, "tiny"), print)
    assert home.installed() == ["1.0.0", "1.1.0"] and install.current().version == "1.0.0"
    assert newer.lock().sets[f"tiny-{archive.architecture}"][0].version == "2.0"
    assert install.Sdk(home.sdk_path("1.0.0")).lock().sets[f"tiny-{archive.architecture}"][0].version == "1.0"
    install.make_default("1.1.0")
    assert install.current().version == "1.1.0"
    with pytest.raises(KosError, match="not installed"):
        install.make_default("1.2.0")


def test_a_lock_brings_exactly_what_it_names(archive, tmp_path):
    first = install.install("1.0.0", wanted(archive, "tiny"), print)
    archive.package("tiny", "2.0", depends="tiny-lib")
    archive.publish()
    again = install.install("1.1.0", wanted(archive, "tiny"), print, pinned=first.path / install.LOCK_FILE)
    assert again.lock().sets == first.lock().sets


def test_an_archive_that_somebody_else_signed_is_refused(archive):
    (archive.root / "dists/trixie/InRelease").write_text("Origin: nobody\n")
    with pytest.raises(KosError, match="apt-get update failed"):
        install.install("1.0.0", wanted(archive, "tiny"), print)
    assert home.installed() == []


def test_a_package_that_was_changed_on_the_mirror_is_refused(archive):
    path = next(archive.root.glob("pool/tiny_1.0_*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(KosError, match=r"Hash Sum mismatch|failed"):
        install.install("1.0.0", wanted(archive, "tiny"), print)
    assert not (home.sdk_path("1.0.0") / f"tiny-{archive.architecture}").exists()


def test_an_install_that_was_killed_goes_on(archive, tmp_path):
    """Killed in the middle of a package: the next one asks for its rest, and lock and bill are whole."""
    archive.package("tiny", "3.0", depends="tiny-lib (= 2:3.4~rc1)", size=3_000_000)
    archive.publish()
    archive.stall_after = 2_000_000
    command = [sys.executable, "-c", INSTALL, str(archive.keyring), archive.architecture]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        assert archive.stalled.wait(120)
        partial = home.apt_cache(archive.architecture) / "cache/archives/partial"
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size >= archive.stall_after for path in partial.glob("*")):
            assert time.monotonic() < deadline, list(partial.iterdir())
            time.sleep(0.02)
    finally:
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=True)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    archive.stall_after = 0
    sdk = install.install("1.0.0", wanted(archive, "tiny", "other"), print)
    ranges = [asked for name, asked in archive.asked if name.startswith("tiny_3.0")]
    assert ranges == ["", f"bytes={2_000_000}-"], "what had arrived was asked for again"
    assert bill(sdk) == ["other", "tiny", "tiny-lib"]
    assert set(sdk.lock().sets) == {f"{name}-{archive.architecture}" for name in TINY}
    assert lock.load(sdk.path / install.LOCK_FILE) == sdk.lock()
