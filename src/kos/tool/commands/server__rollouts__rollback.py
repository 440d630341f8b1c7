"""Give the devices of a rollout their previous release"""

from __future__ import annotations

from kos.tool.server_actions import rollout_action

SECTION = "Servers"

command = rollout_action("rollback", "Give the devices of a ROLLOUT their previous release.")
