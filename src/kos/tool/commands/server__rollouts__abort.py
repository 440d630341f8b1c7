"""End a rollout and take back its offers"""

from __future__ import annotations

from kos.tool.server_actions import rollout_action

SECTION = "Servers"

command = rollout_action("abort", "End a ROLLOUT and take back its offers.")
