"""A program where none belongs."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule
from kos.manifest.images import BuiltCImage, BuiltImage

# What a root never has and an intruder looks for first.
# fmt: off
_TOOLS = frozenset({
    "apt", "apt-get", "ash", "bash", "busybox", "cc", "curl", "dash", "dpkg", "dropbear", "gcc", "gdb",
    "ksh", "ld", "login", "lua", "nc", "ncat", "netcat", "openssl", "perl", "rpm", "scp", "sftp", "sh",
    "socat", "ssh", "sshd", "strace", "su", "sudo", "tcpdump", "telnet", "telnetd", "tftp", "toybox",
    "wget", "zsh",
})
# fmt: on


@rule(
    "stray-program",
    Severity.MEDIUM,
    "An image holds a program that its app does not need",
    looks_at=(
        "ELF files: in a C app all but its entry and libraries, in a Python app all but extensions; "
        "in the root shells, package managers, downloaders, debuggers and log-in programs"
    ),
    why=(
        "A second program is a tool for whoever gets in: a shell, a downloader, an old copy with a known "
        "hole."
    ),
    sources=(*etsi("5.6-6"), *iec("CR 7.7", "EDR 3.2")),
    fix="leave it out of the build's install step",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, files in facts.image_files():
        app = facts.apps.get(name) if name else None
        if name is None:
            for file in files:
                if file.path.rsplit("/", 1)[-1] in _TOOLS and "bin" in file.path.split("/"):
                    yield Fault(f"the root has a program {file.path}, which no device needs")
        if app is None or not isinstance(app.image, BuiltImage):
            continue
        for file in files:
            library = ".so" in file.path.rsplit("/", 1)[-1]
            entry = isinstance(app.image, BuiltCImage) and file.path == app.image.entry
            if file.program and not library and not entry:
                yield Fault(f"{name} has a program {file.path} besides its own", app)
