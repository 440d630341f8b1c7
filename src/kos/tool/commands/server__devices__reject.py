"""Turn a waiting device away"""

from __future__ import annotations

from kos.tool.server_actions import device_action

SECTION = "Servers"

command = device_action("reject", "Turn a waiting DEVICE away.")
