"""A simulated device: QEMU's virt machine with U-Boot in its flash and our disk. Starts it, attaches its
console.

It makes no image and knows nothing of what runs inside.
"""

from __future__ import annotations

import ctypes
import platform
import signal
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image.run import find
from kos.platforms.board import MIB, Board

PROGRAMS = {"aarch64": "qemu-system-aarch64", "aarch32": "qemu-system-arm"}
# Names of the virtio-serial ports: for upgrades, and to the supervisor's control socket.
UPGRADE_PORT, CONTROL_PORT = "kos.upgrade", "kos.control"
FLASH_BYTES = 64 * MIB
_PROBE_SECONDS = 10
# mov w0, #0x84000008 (PSCI SYSTEM_OFF, Arm DEN 0022); hvc #0; b . - ends at once where a guest really runs.
_POWER_OFF = struct.pack("<4I", 0x52800100, 0x72B08000, 0xD4000002, 0x14000000)
_RAM = 0x40000000
_PR_SET_PDEATHSIG = 1


@dataclass
class Machine:
    """A machine that can be started more than once; its disk and flash keep what it wrote.

    Attributes:
        board: what it is.
        disk: its storage.
        flash: the boot loader's environment.
        loader: U-Boot.
        folder: for its sockets.
        hyp: processors with virtualization, for microVMs inside.
        extra: more arguments of QEMU.
        outside: its network leads to this machine's; 10.0.2.2 is this machine itself.
        drive: what QEMU's block layer is told about the disk; the file itself by default.
    """

    board: Board
    disk: Path
    flash: Path
    loader: Path
    folder: Path
    hyp: bool = False
    extra: list[str] = field(default_factory=list)
    drive: str = ""
    outside: bool = False

    @property
    def upgrade_socket(self) -> Path:
        return self.folder / "upgrade.sock"

    @property
    def control_socket(self) -> Path:
        return self.folder / "control.sock"

    def command(self) -> list[str]:
        """QEMU's command line; the serial console is its standard input and output."""
        accelerator = "kvm" if self.board.arch == "aarch64" and kvm_works() else "tcg,thread=multi"
        machine = "virt,virtualization=on" if self.hyp else "virt"
        return [
            *(find(PROGRAMS[self.board.arch]), "-nodefaults", "-display", "none"),
            *("-machine", machine, "-accel", accelerator, "-cpu", self._processor(accelerator), "-smp", "2"),
            *("-m", f"{self.board.memory // MIB}M", "-serial", "stdio"),
            *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self.loader}"),
            *("-drive", f"if=pflash,unit=1,format=raw,file={self.flash}"),
            *("-drive", self.drive or f"if=none,id=disk,format=raw,file={self.disk}"),
            *("-device", "virtio-blk-pci,drive=disk,romfile=", "-device", "virtio-rng-pci,romfile="),
            *(
                "-netdev",
                f"user,id=net,restrict={'off' if self.outside else 'on'}",
                "-device",
                "virtio-net-pci,netdev=net,romfile=",
            ),
            *("-device", "virtio-serial-pci", "-chardev"),
            f"socket,id=upgrade,path={self.upgrade_socket},server=on,wait=off",
            *("-device", f"virtserialport,chardev=upgrade,name={UPGRADE_PORT}"),
            *("-chardev", f"socket,id=control,path={self.control_socket},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=control,name={CONTROL_PORT}"),
            *self.extra,
        ]

    def _processor(self, accelerator: str) -> str:
        if accelerator == "kvm":
            return "host"
        # Pointer authentication in software costs half the speed; QEMU's own variant of it does not.
        return "max,pauth-impdef=on" if self.board.arch == "aarch64" else "cortex-a15"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it with pipes to and from its serial console."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command(), preexec_fn=_die_with_parent, **pipes)

    def attach(self) -> int:
        """Start it with our own standard output as its console, until it ends or Ctrl-C; the exit code."""
        process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            print(file=sys.stderr)
            return 130


def _die_with_parent() -> None:
    """In the child: end when we end, whatever ended us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def loader_flash(u_boot: Path, image: Path) -> None:
    """U-Boot as a flash bank, which must have its full size."""
    with image.open("wb") as file:
        file.write(u_boot.read_bytes())
        file.truncate(FLASH_BYTES)


def kvm_works() -> bool:
    """Whether a guest really runs by KVM here: a `/dev/kvm` may exist and not serve. Tried with a tiny
    guest.
    """
    if platform.machine() != "aarch64" or not Path("/dev/kvm").exists():
        return False
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "off")
        program.write_bytes(_POWER_OFF)
        command = [
            find("qemu-system-aarch64"),
            "-nodefaults",
            "-display",
            "none",
            "-accel",
            "kvm",
            "-cpu",
            "host",
        ]
        command += [
            "-machine",
            "virt",
            "-device",
            f"loader,file={program},addr={_RAM:#x},cpu-num=0,force-raw=on",
        ]
        try:
            return (
                subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False).returncode
                == 0
            )
        except (OSError, subprocess.TimeoutExpired, KosError):
            return False
