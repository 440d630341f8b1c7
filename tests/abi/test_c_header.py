"""The C header in the tree is the one that the Python constants make."""

from pathlib import Path

from kos.abi import c_header, message

HEADER = Path(__file__).parents[2] / "native/include/kos/abi.h"


def test_the_header_in_the_tree_is_current():
    assert HEADER.read_text() == c_header.render(), (
        "run: python -m kos.abi.c_header > native/include/kos/abi.h"
    )


def test_no_two_fields_of_the_mailbox_overlap():
    taken = {}
    for name, (offset, size, _writer) in message.MAILBOX_FIELDS.items():
        for byte in range(offset, offset + size):
            assert taken.setdefault(byte, name) == name
        assert offset % size == 0, f"{name} is not aligned"


def test_each_writer_has_cache_lines_of_its_own():
    writer_of_line = {}
    for name, (offset, _size, writer) in message.MAILBOX_FIELDS.items():
        if offset >= 64:
            assert writer_of_line.setdefault(offset // 64, writer) == writer, name
