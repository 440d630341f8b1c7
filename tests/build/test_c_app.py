"""Images of C apps, for this machine and for devices."""

from __future__ import annotations

import struct
import tarfile
from pathlib import Path

import pytest

from kos.build.c_app import CApp
from kos.build.cache import Cache
from kos.build.errors import BuildError
from kos.build.target import target
from tests.build.projects import C_LISTS, c_app

pytestmark = pytest.mark.timeout(600)
PT_LOAD, PF_X = 1, 1  # ELF: a part that is loaded, and one that is executed
MACHINES = {"host": None, "aarch64": 183, "aarch32": 40}  # e_machine of the ELF header


def fill(app: Path, place: Path, cache: Cache, name: str = "host", entry: str = "bin/blink") -> Path:
    CApp(app, entry, target(None if name == "host" else name), cache).fill(place)
    return place / entry


@pytest.mark.parametrize("name", MACHINES)
def test_each_target(tmp_path, c_cache, name):
    program = fill(c_app(tmp_path / "app"), tmp_path / "out", c_cache, name).read_bytes()
    assert program[:4] == b"\x7fELF"
    assert MACHINES[name] in (None, struct.unpack_from("<H", program, 18)[0])


def test_the_same_bytes_from_another_place(tmp_path, c_cache):
    first = fill(c_app(tmp_path / "one"), tmp_path / "1", c_cache).read_bytes()
    second = fill(c_app(tmp_path / "two" / "deeper"), tmp_path / "2", c_cache).read_bytes()
    assert first == second
    assert str(tmp_path).encode() not in first
    assert b"Jan  1 2020" in first


def segments(program: bytes) -> list[tuple[int, int, bytes]]:
    """What of a 64-bit program is loaded: flags, address and, of code, the bytes."""
    [table] = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    found = []
    for place in range(table, table + size * count, size):
        kind, flags, offset, address, _physical, length = struct.unpack_from("<IIQQQQ", program, place)
        if kind == PT_LOAD:
            found.append((flags, address, program[offset : offset + length] if flags & PF_X else b""))
    return found


def test_a_debuggers_program_has_the_same_code_at_the_same_addresses(tmp_path, c_cache):
    main = '#include <kos.h>\nint main(int argc, char **argv) { (void)argv; kos_assert(argc == 1, ""); }\n'
    app = c_app(tmp_path / "an app in a folder with a name of its own", main=main)
    runs = fill(app, tmp_path / "out", c_cache).read_bytes()
    symbols = CApp(app, "bin/blink", target(None), c_cache).symbols().read_bytes()
    assert segments(symbols) == segments(runs)
    assert str(app / "main.c").encode() in symbols and str(app).encode() not in runs


def test_a_change_is_seen(tmp_path, c_cache):
    app = c_app(tmp_path / "app")
    sources = CApp(app, "bin/blink", target(None), c_cache)
    before = sources.inputs()
    first = fill(app, tmp_path / "1", c_cache).read_bytes()
    (app / "main.c").write_text((app / "main.c").read_text().replace("%s", "<%s>"))
    assert sources.inputs() != before
    assert fill(app, tmp_path / "2", c_cache).read_bytes() != first


def test_a_project_that_installs_nothing(tmp_path, c_cache):
    app = c_app(tmp_path / "app", lists=C_LISTS.replace("install(TARGETS blink)", ""))
    assert fill(app, tmp_path / "out", c_cache).is_file()


def test_only_programs_and_data_are_kept(tmp_path, c_cache):
    lists = C_LISTS + "install(FILES main.c DESTINATION include)\ninstall(FILES main.c DESTINATION share)\n"
    fill(c_app(tmp_path / "app", lists=lists), tmp_path / "out", c_cache)
    kept = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
    )
    assert kept == ["bin/blink", "share/main.c"]


def test_the_compilers_words_are_passed_on(tmp_path, c_cache):
    app = c_app(tmp_path / "app", main="int main(void) { return nothing; }\n")
    with pytest.raises(BuildError, match="undeclared identifier 'nothing'"):
        fill(app, tmp_path / "out", c_cache)
    assert not (tmp_path / "out").exists()


def test_a_project_that_does_not_configure(tmp_path, c_cache):
    with pytest.raises(BuildError, match="no_such_command"):
        fill(
            c_app(tmp_path / "app", lists="project(x LANGUAGES NONE)\nno_such_command()\n"),
            tmp_path / "out",
            c_cache,
        )


def test_another_program_than_the_entry(tmp_path, c_cache):
    with pytest.raises(BuildError, match="it makes no program 'bin/other'"):
        fill(c_app(tmp_path / "app"), tmp_path / "out", c_cache, entry="bin/other")


def test_no_cmake_project(tmp_path, c_cache):
    with pytest.raises(BuildError, match=r"needs a CMakeLists\.txt"):
        fill(tmp_path, tmp_path / "out", c_cache)


def test_nothing_of_the_machine_is_found(tmp_path, c_cache):
    """A header of the machine's own would make the result depend on the machine."""
    app = c_app(tmp_path / "app", main="#include <openssl/ssl.h>\nint main(void) { return 0; }\n")
    with pytest.raises(BuildError, match="openssl"):
        fill(app, tmp_path / "out", c_cache)


def test_an_image_is_a_tar_that_others_read(tmp_path, c_cache):
    app = CApp(c_app(tmp_path / "app"), "bin/blink", target(None), c_cache)
    blob, made = c_cache.image({"kind": "c", **app.inputs()}, app.fill)
    again, made_again = c_cache.image({"kind": "c", **app.inputs()}, app.fill)
    assert (made, made_again) == (True, False) and blob == again
    with tarfile.open(blob.path) as tar:
        assert [(info.name, info.uid, info.mtime) for info in tar] == [
            ("bin", 0, 1577836800),
            ("bin/blink", 0, 1577836800),
        ]
