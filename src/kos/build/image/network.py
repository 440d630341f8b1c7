"""nft in the root file system, with the libraries that only it needs: the keeper of the network loads rules
with it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kos.abi.errors import KosError

PROGRAM = "usr/sbin/nft"
LIBRARIES = ("nftables", "nftnl", "mnl", "jansson", "gmp", "xtables", "edit", "tinfo", "bsd", "md")


def add(tree: Path, package: Path) -> None:
    """Add nft from the unpacked packages to a tree.

    Raises:
        KosError: a library is missing.
    """
    target = tree / PROGRAM
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(package / PROGRAM, target)
    target.chmod(0o755)
    for name in LIBRARIES:
        files = sorted((package / "usr/lib").glob(f"*-linux-gnu*/lib{name}.so.*"))
        if not files:
            raise KosError(f"nft needs lib{name}, which no package brought", where=str(package))
        for file in files:
            place = tree / file.relative_to(package)
            if not place.exists():
                shutil.copy(file, place, follow_symlinks=False)
