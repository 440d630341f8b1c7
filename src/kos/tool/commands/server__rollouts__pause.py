"""Pause a rollout"""

from __future__ import annotations

from kos.tool.server_actions import rollout_action

SECTION = "Servers"

command = rollout_action("pause", "Pause a ROLLOUT: no further offers.")
