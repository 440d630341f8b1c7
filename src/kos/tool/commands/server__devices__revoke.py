"""End a device's access for good"""

from __future__ import annotations

from kos.tool.server_actions import device_action

SECTION = "Servers"

command = device_action("revoke", "End a DEVICE's access, now and for good: its key never works again.")
