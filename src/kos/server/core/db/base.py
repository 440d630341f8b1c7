"""What every table shares: the declarative base, constraint names, column types, the clock."""

from __future__ import annotations

import time
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Root of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {dict[str, Any]: JSON().with_variant(JSONB(), "postgresql")}  # noqa: RUF012


JsonColumn = JSON().with_variant(JSONB(), "postgresql")
# SQLite gives an automatic number only to INTEGER PRIMARY KEY.
BigKey = BigInteger().with_variant(Integer(), "sqlite")

Key = Annotated[int, mapped_column(BigKey, primary_key=True)]
Millis = Annotated[int, mapped_column(BigInteger)]  # since 1970
Name = Annotated[str, mapped_column(String(128))]
Digest = Annotated[str, mapped_column(String(64))]
OrganisationKey = Annotated[
    int, mapped_column(BigKey, ForeignKey("organisation.id", ondelete="CASCADE"), index=True)
]


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
