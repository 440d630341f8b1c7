"""Roles and what each may do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

READ = ("devices.read", "releases.read", "rollouts.read", "data.read")
OPERATE = (*READ, "devices.manage", "devices.operate", "alarms.write")
DEPLOY = (*OPERATE, "releases.write", "rollouts.write")
# A shell or a debugger in an app can do whatever the app can: that is more than to operate a device.
ADMINISTER = (*DEPLOY, "devices.debug", "access.manage", "audit.read")

ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset(READ),
    "operator": frozenset(OPERATE),
    "deployer": frozenset(DEPLOY),
    "admin": frozenset(ADMINISTER),
    "auditor": frozenset((*READ, "audit.read")),
}
PERMISSIONS = ROLES["admin"]


@dataclass(frozen=True)
class Principal:
    """Who is asking, in which organisation, with which rights."""

    name: str
    organisation_id: int
    role: str
    permissions: frozenset[str]
    user_id: int | None = None
    device_query: str = ""  # not empty: only the devices that match
    csrf: str = ""  # not empty: a browser; changes need this token
    remote: str = ""

    def may(self, permission: str) -> bool:
        return permission in self.permissions
