"""Let a rollout go on"""

from __future__ import annotations

from kos.tool.server_actions import rollout_action

SECTION = "Servers"

command = rollout_action("resume", "Let a ROLLOUT go on.")
