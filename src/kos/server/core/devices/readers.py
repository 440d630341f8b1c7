"""MQTT clients of people and programs, who read what the apps of their organisation's devices sent.

They log in as `reader` with an API token as the password. Studio's one user needs none on the same machine.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.core.auth.login import principal_of_token
from kos.server.core.auth.passwords import hash_secret
from kos.server.core.bus.claims import LoginRequest, Permissions
from kos.server.core.bus.client import DATA_ROOT
from kos.server.core.db.models import ApiToken, Organisation
from kos.server.settings import Settings, is_loopback

READER = "reader"  # the user's name
PERMISSION = "data.read"


def connection_name(token: int) -> str:
    """What the connections of a token are called, to find them again."""
    return f"{READER}:{token}"


def reader_permissions(session: Session, settings: Settings, request: LoginRequest) -> Permissions:
    """What a reader may hear.

    Raises:
        KosError: a token that is wrong, has expired, or may not read all data of its organisation.
    """
    if settings.studio and is_loopback(request.host):
        slug = session.scalar(select(Organisation.slug).order_by(Organisation.id).limit(1))
        return _hear(connection_name(0), str(slug), 0)
    principal, _ = principal_of_token(session, request.password, request.host)
    if not principal.may(PERMISSION) or principal.device_query:
        raise KosError(f"{principal.name} may not read the data of all devices")
    token = session.scalar(select(ApiToken).where(ApiToken.secret_hash == hash_secret(request.password)))
    organisation = session.get(Organisation, principal.organisation_id)
    if token is None or organisation is None:
        raise KosError("the token is gone")
    return _hear(connection_name(token.id), organisation.slug, token.expires_at // 1000)


def _hear(name: str, slug: str, expires: int) -> Permissions:
    own = f"{DATA_ROOT}.{slug}"
    return Permissions(name, subscribe=(own, f"{own}.>", "$MQTT.sub.>"), expires=expires)
