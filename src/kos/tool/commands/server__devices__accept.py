"""Let a waiting device in"""

from __future__ import annotations

from kos.tool.server_actions import device_action

SECTION = "Servers"

command = device_action("accept", "Let a waiting DEVICE in.")
