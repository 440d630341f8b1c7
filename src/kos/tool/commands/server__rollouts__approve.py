"""Approve a rollout that somebody else planned"""

from __future__ import annotations

from kos.tool.server_actions import rollout_action

SECTION = "Servers"

command = rollout_action("approve", "Approve a ROLLOUT that somebody else planned.")
