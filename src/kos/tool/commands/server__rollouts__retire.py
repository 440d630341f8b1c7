"""Let a standing rollout take in no more devices"""

from __future__ import annotations

from kos.tool.server_actions import rollout_action

SECTION = "Servers"

command = rollout_action("retire", "Let a standing ROLLOUT take in no more devices.")
