"""The boot record: two copies, one of which is always whole, in a form that U-Boot's own tools read."""

import subprocess

import pytest

from kos.build.image.run import find
from kos.device.store import bootrecord, ubootenv
from kos.device.store.bootrecord import BootRecord, decode, newest


def test_a_copy_reads_back():
    record = BootRecord(2, "a", "b", 3)
    assert decode(record.encode()) == record


def test_of_two_neighbours_the_newer_one_counts_all_the_way_round():
    record = BootRecord(1, "a")
    copies = [record.encode(), record.encode()]
    for slot in "babababab":
        found, index = newest(copies)
        assert found == record
        record = found.begin_trial(slot)
        copies[index] = record.encode()
    assert newest(copies)[0] == record


def test_a_damaged_copy_leaves_the_other_one():
    older, newer = BootRecord(1, "a"), BootRecord(2, "b")
    torn = newer.encode()[:10] + bytes(bootrecord.COPY_SIZE - 10)
    assert newest([older.encode(), torn]) == (older, 1)
    assert newest([torn, older.encode()]) == (older, 0)
    with pytest.raises(ValueError, match="checksum"):
        newest([torn, torn])


def test_tries_run_out_and_then_the_good_slot_starts():
    record = BootRecord(1, "a").begin_trial("b", 2)
    started = []
    for _ in range(4):
        slot, record = record.take()
        started.append(slot)
    assert started == ["b", "b", "a", "a"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"kos_good": "c"}, "slot"), ({"kos_seq": "4"}, "range"), ({"kos_left": "10"}, "range")],
)
def test_nonsense_is_refused(change, words):
    variables = {"kos_seq": "1", "kos_good": "a", "kos_trial": "-", "kos_left": "0", **change}
    with pytest.raises(ValueError, match=words):
        decode(ubootenv.encode(variables, bootrecord.COPY_SIZE))


def test_an_environment_that_does_not_fit_is_refused():
    assert ubootenv.encode({"a": "x" * (4096 - 4 - 4)}, 4096)
    with pytest.raises(ValueError, match="needs"):
        ubootenv.encode({"a": "x" * (4096 - 4 - 3)}, 4096)


def test_fw_printenv_reads_both_copies(tmp_path):
    try:
        program = find("fw_printenv")
    except Exception as error:
        pytest.skip(f"needs fw_printenv: {error}")
    image = tmp_path / "env"
    image.write_bytes(bootrecord.partition_image())
    for offset in bootrecord.COPY_OFFSETS:
        config = tmp_path / "fw_env.config"
        config.write_text(f"{image} {offset:#x} {bootrecord.COPY_SIZE:#x}\n")
        done = subprocess.run([program, "-c", str(config)], capture_output=True, text=True, check=True)
        assert "kos_good=a" in done.stdout.split()
