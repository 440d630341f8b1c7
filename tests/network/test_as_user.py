"""The tests of this folder again for an ordinary user: inside a user namespace, where it is root of nothing
else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.group("network")


@pytest.mark.timeout(1200)
def test_as_an_ordinary_user():
    if os.geteuid() == 0:
        pytest.skip("not applicable: root runs them as they are")
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare: apt-get install util-linux")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/net/tun for users: chmod 666 /dev/net/tun")
    here = Path(__file__).parent
    inside = [str(here / "test_tunnel.py"), str(here / "test_faults.py")]
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "--mount",
        sys.executable,
        "-m",
        "pytest",
        "-q",
    ]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *inside],
        cwd=here.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
