"""How much an app keeps."""

from __future__ import annotations

from pathlib import Path

from kos.device.storage import ENTRY_BYTES, STEP_ENTRIES, usage


def test_files_folders_and_nothing_else_count(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "file").write_bytes(bytes(100_000))
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/usr")
    total = list(usage(tmp_path))[-1]
    assert 100_000 + 3 * ENTRY_BYTES <= total < 100_000 + 7 * ENTRY_BYTES


def test_sparse_files_count_what_they_take(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert list(usage(tmp_path))[-1] == ENTRY_BYTES


def test_many_files_are_counted_in_steps(tmp_path: Path) -> None:
    for number in range(STEP_ENTRIES * 2):
        (tmp_path / str(number)).touch()
    steps = list(usage(tmp_path))
    assert len(steps) == 3 and steps[0] == STEP_ENTRIES * ENTRY_BYTES


def test_missing_folder(tmp_path: Path) -> None:
    assert list(usage(tmp_path / "none")) == [0]
