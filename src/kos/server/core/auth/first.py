"""The first person of a Fleet Server: made at the first start, so that somebody can log in."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.server.core.auth.passwords import hash_password
from kos.server.core.db.models import Membership, Organisation, User, now

FIRST_EMAIL = "admin@localhost"


def make_first_admin(session: Session, password: str | None = None) -> str | None:
    """An administrator of the default organisation, when there is nobody; the password, to be shown once."""
    if session.scalar(select(User.id).limit(1)) is not None:
        return None
    organisation = session.scalars(select(Organisation).order_by(Organisation.id)).first()
    assert organisation is not None
    chosen = password or secrets.token_urlsafe(12)
    user = User(
        email=FIRST_EMAIL, name="Administrator", password_hash=hash_password(chosen), created_at=now()
    )
    user.memberships.append(Membership(organisation_id=organisation.id, role="admin"))
    session.add(user)
    return chosen
