"""C apps build against the SDK tree, in today's CMake style and in the one that existing apps use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kos.build import native
from kos.build.native import SOURCES, _tool
from kos.build.target import target
from kos.build.toolchain import Toolchain
from tests.app.system import system

pytestmark = pytest.mark.timeout(900)

FIND_PACKAGE = """
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
find_package(Kos REQUIRED)
add_executable(app app.c)
target_compile_options(app PRIVATE -Wall -Wextra -Werror)
target_link_libraries(app PRIVATE Kos::kos Kos::i2c_client)
"""
REFERENCE = """
cmake_minimum_required(VERSION 3.24)
set(CMAKE_C_COMPILER $ENV{KOS_CC})
set(CMAKE_TOOLCHAIN_FILE $ENV{KOS_RUNTIME_PATH}/share/toolchain.cmake)
list(APPEND CMAKE_MODULE_PATH $ENV{KOS_BUILTINS_PATH}/share)
project(app C ASM)
add_compile_options(-fPIC)
include(kos_i2c_client)
set(I2C_CLIENT "-L$ENV{KOS_BUILTINS_PATH}/lib -li2c_client")
file(GLOB deps *.c)
add_executable(app ${deps})
target_include_directories(app PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} $ENV{KOS_BUILTINS_PATH}/include)
target_link_libraries(app PRIVATE ${I2C_CLIENT})
"""
PROTOBUF = """
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
find_package(Kos REQUIRED)
add_executable(app app.c)
kos_protobuf_generate(TARGET app PROTOS reading.proto deep/place.proto)
target_compile_options(app PRIVATE -Wall -Wextra -Werror)
target_link_libraries(app PRIVATE Kos::kos)
"""
READING = """
syntax = "proto3";
import "deep/place.proto";
message Reading { sint32 temperature = 1; Place place = 2; }
"""
PLACE = """
syntax = "proto3";
message Place { string name = 1; }
"""
PROTOBUF_APP = """
#include <kos.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include "reading.pb.h"
int main(void)
{
    Reading in = {.temperature = -42, .has_place = true, .place = {.name = "roof"}};
    Reading out = Reading_init_zero;
    uint8_t bytes[Reading_size];
    pb_ostream_t to = pb_ostream_from_buffer(bytes, sizeof bytes);
    kos_assert(pb_encode(&to, Reading_fields, &in), NULL);
    pb_istream_t from = pb_istream_from_buffer(bytes, to.bytes_written);
    kos_assert(pb_decode(&from, Reading_fields, &out), NULL);
    kos_printf("%d %s\\n", (int)out.temperature, out.place.name);
    return 0;
}
"""


def test_who_may_not_write_here_has_the_tree_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native._sdk_place("host").parent == native.OUTPUT
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK))
    assert native._sdk_place("host").is_relative_to(tmp_path)


def build(folder: Path, name: str = "host") -> Path:
    """Build a project for a target with the SDK; → its program `app`."""
    sdk = native.sdk(name)
    tools = Toolchain(target(None if name == "host" else name))
    environment = tools.environment() | {
        "KOS_CC": str(tools.cc),
        "KOS_RUNTIME_PATH": str(sdk),
        "KOS_BUILTINS_PATH": str(sdk),
    }
    configure = [
        *(_tool("cmake"), "-S", str(folder), "-B", str(folder / "build"), "-G", "Ninja"),
        *(f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}", f"-DCMAKE_PREFIX_PATH={sdk}", *tools.cmake_options()),
    ]
    for command in (configure, [_tool("cmake"), "--build", str(folder / "build")]):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "app"


@pytest.mark.parametrize("style", [FIND_PACKAGE, REFERENCE], ids=["find_package", "reference"])
@pytest.mark.parametrize("name", ["host", "aarch64", "aarch32"])
def test_an_app_that_uses_every_name_builds(tmp_path: Path, style: str, name: str) -> None:
    (tmp_path / "CMakeLists.txt").write_text(style)
    (tmp_path / "app.c").write_bytes((SOURCES / "tests" / "every_name.c").read_bytes())
    program = build(tmp_path, name)
    machine = int.from_bytes(program.read_bytes()[18:20], "little")
    wanted = {"aarch64": 183, "aarch32": 40}.get(name) or {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    assert machine == wanted, "ELF machine"


def test_an_app_built_with_the_sdk_runs(tmp_path: Path) -> None:
    native.extension()
    (tmp_path / "CMakeLists.txt").write_text(FIND_PACKAGE)
    (tmp_path / "app.c").write_bytes((SOURCES / "tests" / "shell.c").read_bytes())
    with system(msg0=["echo"]) as running:
        app = running.start("app", {"echo": "client"}, build(tmp_path))
        assert app.ask("ping") == "STATUS_PONG"


def test_protobuf_messages_are_generated_compiled_and_linked(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(PROTOBUF)
    (tmp_path / "app.c").write_text(PROTOBUF_APP)
    (tmp_path / "reading.proto").write_text(READING)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "place.proto").write_text(PLACE)
    (tmp_path / "deep" / "place.options").write_text("Place.name max_size:16\n")
    done = subprocess.run([build(tmp_path)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "-42 roof\n"


def test_what_is_up_to_date_is_not_built_again() -> None:
    native.sdk("host")
    stamp = native.OUTPUT / "host" / "stamp"
    before = stamp.stat().st_mtime_ns
    native.sdk("host")
    assert stamp.stat().st_mtime_ns == before


def test_another_cache_with_its_own_compiler_builds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another user takes the tree, or the same one with another HOME."""
    monkeypatch.setattr(native, "OUTPUT", tmp_path / "output")
    built = [(native.sdk("host") / "lib/libkos.a").read_bytes()]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a cache of mine"))
    built.append((native.sdk("host") / "lib/libkos.a").read_bytes())
    monkeypatch.undo()
    assert built[0] == built[1]
