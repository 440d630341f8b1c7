"""U-Boot's environment block: CRC-32, then `name=value` strings, each ended by a zero (U-Boot, env.rst).
Pure.

This is the form without a flag byte: what `env export -c`, `env import -c` and a one-line `fw_env.config`
speak.
"""

from __future__ import annotations

import struct
import zlib

_CRC = struct.Struct("<I")


def encode(variables: dict[str, str], size: int) -> bytes:
    """A block of `size` bytes.

    Raises:
        ValueError: the variables do not fit, or one cannot be said in this form.
    """
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"not an environment variable: {name!r}")
    body = b"".join(f"{name}={value}".encode() + b"\0" for name, value in sorted(variables.items())) + b"\0"
    room = size - _CRC.size
    if len(body) > room:
        raise ValueError(f"the environment needs {len(body)} bytes, there are {room}")
    body = body.ljust(room, b"\0")
    return _CRC.pack(zlib.crc32(body)) + body


def decode(block: bytes) -> dict[str, str]:
    """The variables of a block.

    Raises:
        ValueError: its checksum is wrong.
    """
    if len(block) < _CRC.size + 2:
        raise ValueError(f"an environment block has at least {_CRC.size + 2} bytes, found {len(block)}")
    body = block[_CRC.size :]
    if _CRC.unpack_from(block)[0] != zlib.crc32(body):
        raise ValueError("the checksum of the environment block is wrong")
    strings = body.split(b"\0\0", 1)[0].split(b"\0")
    pairs = (string.decode(errors="replace").partition("=") for string in strings if string)
    return {name: value for name, _equals, value in pairs}
