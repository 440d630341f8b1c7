"""The device's end of fastboot over TCP (Android, core/fastboot/README.md and the boot image header, version
0).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

_LENGTH = struct.Struct(">Q")
_HEADER = struct.Struct("<8s10I16s512s")


class Peer:
    """Takes one boot; what came is in `kernel`, `ramdisk` and `arguments` once `join` returns."""

    def __init__(self, booted: Callable[[], None] = lambda: None) -> None:
        """`booted` is called when the board has taken the image."""
        self._booted = booted
        self.commands: list[str] = []
        self.image = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(240)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with self._listener:
            while "boot" not in self.commands:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rwb") as stream:
                    assert stream.read(4) == b"FB01"
                    stream.write(b"FB01")
                    stream.flush()
                    while head := stream.read(_LENGTH.size):
                        self._command(stream, stream.read(_LENGTH.unpack(head)[0]).decode())

    def _command(self, stream, command: str) -> None:
        self.commands.append(command)
        name, _, argument = command.partition(":")
        if name == "download":
            size = int(argument, 16)
            _send(stream, f"DATA{size:08x}")
            parts = []
            while size:
                part = stream.read(_LENGTH.unpack(stream.read(_LENGTH.size))[0])
                parts.append(part)
                size -= len(part)
            self.image = b"".join(parts)
        known = {"max-download-size": "0x20000000"}
        _send(stream, "OKAY" + (known.get(argument, "") if name == "getvar" else ""))
        if name == "boot":
            self._booted()

    def parts(self) -> tuple[bytes, bytes, str]:
        """Kernel, ramdisk and kernel arguments of the boot image."""
        magic, kernel, _, ramdisk, _, _, _, _, page, *_rest = _HEADER.unpack_from(self.image)
        assert magic == b"ANDROID!"
        arguments = _HEADER.unpack_from(self.image)[-1].split(b"\0")[0].decode()
        at = page
        after = at + -(-kernel // page) * page
        return self.image[at : at + kernel], self.image[after : after + ramdisk], arguments


def _send(stream, text: str) -> None:
    stream.write(_LENGTH.pack(len(text)) + text.encode())
    stream.flush()
