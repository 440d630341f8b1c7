"""A Debian archive of a test's own: signed by a key made here, served on loopback, able to stall in the
middle of a package. apt, dpkg-deb and gpg are the real ones.
"""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import http.server
import os
import subprocess
import threading
import urllib.parse
from pathlib import Path

SUITES = ("trixie", "trixie-updates")
COMPONENTS = ("main", "non-free-firmware")


def run(*command: object, stdin: str | None = None) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout


class Archive:
    """The archive in `folder`, served at `url`; its signatures are checked with `keyring`."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.architecture = architecture
        self.root = folder / "archive"
        self.keyring = folder / "keyring.gpg"
        self._gpg = ("gpg", "--homedir", folder / "gpg", "--batch", "--yes", "--quiet")
        (folder / "gpg").mkdir(mode=0o700)
        (self.root / "pool").mkdir(parents=True)
        run(
            *self._gpg,
            "--passphrase",
            "",
            "--quick-gen-key",
            "Test <test@example.invalid>",
            "ed25519",
            "sign",
        )
        run(*self._gpg, "--output", self.keyring, "--export")
        self._stanzas: list[str] = []
        self._day = 19_000  # since 1970
        self.stall_after = 0  # bytes of a package; 0 is never
        self.stalled = threading.Event()
        self.asked: list[tuple[str, str]] = []  # name of each package that was asked for, with the range
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        run("gpgconf", "--homedir", self._gpg[2], "--kill", "all")

    def package(self, name: str, version: str, depends: str = "", size: int = 1000) -> Path:
        """Build a package with one file, and list it."""
        tree = self.root.parent / "tree"
        for old in (tree / "usr/share").glob("*"):
            old.unlink()
        (tree / "usr/share").mkdir(parents=True, exist_ok=True)
        (tree / "DEBIAN").mkdir(exist_ok=True)
        # Bytes that do not pack, or the package would be small.
        content = b"".join(hashlib.sha256(f"{name} {n}".encode()).digest() for n in range(size // 32))
        (tree / "usr/share" / name).write_bytes(version.encode() + content)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {self.architecture}\n"
        control += f"Maintainer: test <test@example.invalid>\nDescription: {name}\n"
        (tree / "DEBIAN/control").write_text(control + (f"Depends: {depends}\n" if depends else ""))
        path = self.root / "pool" / f"{name}_{version}_{self.architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        fields = run("dpkg-deb", "--field", path)
        self._stanzas.append(
            f"{fields}Filename: pool/{path.name}\nSize: {path.stat().st_size}\nSHA256: {digest}\n"
        )
        return path

    def publish(self) -> None:
        """Write the indexes and sign them, each time a day later."""
        self._day += 1
        for suite in SUITES:
            lines = []
            for component in COMPONENTS:
                text = "\n".join(self._stanzas) if (suite, component) == (SUITES[0], COMPONENTS[0]) else ""
                for end, data in (("", text.encode()), (".gz", gzip.compress(text.encode(), mtime=0))):
                    name = f"{component}/binary-{self.architecture}/Packages{end}"
                    path = self.root / "dists" / suite / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                    lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n")
            release = f"Origin: test\nSuite: {suite}\nCodename: {suite}\nArchitectures: {self.architecture}\n"
            date = email.utils.formatdate(self._day * 86400, usegmt=True)
            release += f"Components: {' '.join(COMPONENTS)}\nDate: {date}\nSHA256:\n"
            target = self.root / "dists" / suite / "InRelease"
            run(*self._gpg, "--output", target, "--clear-sign", stdin=release + "".join(lines))
            os.utime(target, (self._day * 86400, self._day * 86400))

    def _handler(self) -> type[http.server.SimpleHTTPRequestHandler]:
        archive = self
        self._go_on = threading.Event()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(archive.root))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                if not self.path.endswith(".deb"):
                    super().do_GET()
                    return
                name = urllib.parse.unquote(self.path.rpartition("/")[2])
                wanted = self.headers.get("Range", "")
                archive.asked.append((name, wanted))
                data = (archive.root / "pool" / name).read_bytes()
                start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
                self.send_response(206 if start else 200)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(data) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
                self.end_headers()
                if archive.stall_after and len(data) > archive.stall_after:
                    self.wfile.write(data[start : archive.stall_after])
                    self.wfile.flush()
                    archive.stalled.set()
                    archive._go_on.wait()
                else:
                    self.wfile.write(data[start:])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
