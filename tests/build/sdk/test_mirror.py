"""A mirror in the middle of its own renewal; apt is played by what it prints."""

from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.build.sdk.apt import PrivateApt
from kos.build.sdk.sources import Source

MIRROR = "http://m/debian/"


class Mirror(PrivateApt):
    """apt that finds the indexes of `broken` suites not whole, and the suites' names as `codenames` says."""

    def __init__(self, root: Path, broken: set[str], codenames: dict[str, str] | None = None) -> None:
        self.broken = broken
        self.codenames = codenames or {}
        self.said: list[str] = []
        sources = [Source(MIRROR, "trixie"), Source(MIRROR, "trixie-updates")]
        super().__init__(root, "armhf", sources, self.said.append)

    @property
    def suites(self) -> set[str]:
        lines = (self._root / "etc/debian.sources").read_text().splitlines()
        return {line.removeprefix("Suites: ") for line in lines if line.startswith("Suites: ")}

    def _run(self, *command: str, **options: object) -> str:
        if command[1] == "update":
            for suite in sorted(self.suites & self.broken):
                raise KosError(f"E: Failed to fetch {MIRROR}dists/{suite}/main  Mirror sync in progress?")
            return ""
        assert command[1] == "indextargets"
        names = {suite: suite.replace("stable", "trixie") for suite in self.suites} | self.codenames
        return "".join(f"{suite}|{names[suite]}\n" for suite in self.suites)


def test_a_whole_mirror_is_asked_once(tmp_path):
    mirror = Mirror(tmp_path, set())
    mirror.update()
    assert mirror.suites == {"trixie", "trixie-updates"}


def test_a_broken_suite_is_asked_for_by_its_other_name(tmp_path):
    mirror = Mirror(tmp_path, {"trixie"})
    mirror.update()
    assert mirror.suites == {"stable", "trixie-updates"}
    assert not mirror.said


def test_broken_updates_are_left_out_and_said(tmp_path):
    mirror = Mirror(tmp_path, {"trixie-updates", "stable-updates"})
    mirror.update()
    assert mirror.suites == {"trixie"}
    assert "stable-updates is not whole" in mirror.said[0]


def test_a_suite_that_is_broken_by_both_names_is_an_error(tmp_path):
    with pytest.raises(KosError, match="dists/stable/"):
        Mirror(tmp_path, {"trixie", "stable"}).update()


def test_another_release_behind_the_name_is_refused(tmp_path):
    with pytest.raises(KosError, match="expected Debian trixie behind the name stable, found forky"):
        Mirror(tmp_path, {"trixie"}, {"stable": "forky"}).update()
