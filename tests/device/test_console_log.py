"""Where console lines go."""

from __future__ import annotations

from pathlib import Path

from kos.device.console import log
from kos.device.console.log import Console


def test_lines_are_saved_and_spread(tmp_path: Path) -> None:
    now = [10.0]
    console = Console(tmp_path / "console.log", lambda: now[0])
    heard: list[str] = []
    console.subscribe(heard.append)
    now[0] = 12.5
    console.write("a", "hello")
    console.say("two\nlines")
    console.unsubscribe(heard.append)
    console.write("a", "alone")
    console.close()
    assert heard == [
        "|      2.500| a                  | hello",
        "|      2.500| supervisor         | two",
        "|      2.500| supervisor         | lines",
    ]
    assert (tmp_path / "console.log").read_text().splitlines() == list(console.history)


def test_the_file_is_bounded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(log, "LOG_BYTES_MAX", 1000)
    console = Console(tmp_path / "console.log")
    for number in range(100):
        console.write("a", f"line {number}")
    console.close()
    assert (tmp_path / "console.log").stat().st_size <= 1000
    assert (tmp_path / "console.log.1").stat().st_size <= 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["console.log", "console.log.1"]
    assert "line 99" in (tmp_path / "console.log").read_text()


def test_full_disk_costs_lines_only(tmp_path: Path) -> None:
    (tmp_path / "console.log").symlink_to("/dev/full")
    console = Console(tmp_path / "console.log")
    console.write("a", "one")
    console.close()
    assert console.unsaved == 1 and len(console.history) == 1
