"""Which errors of the database mean that it is away, or too busy, for now: whoever comes again is served.

Knows the drivers' errors and nothing of HTTP.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

ERRORS = (DBAPIError, TimeoutError)  # among which `is_away` decides
# Primary result codes (https://www.sqlite.org/rescode.html): a file that is locked, full, or not to be had.
# What is left of SQLite's operational errors is a statement of ours that is wrong.
SQLITE_AWAY = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)
# Classes of SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html): connection, log-in,
# transaction that may be repeated, no room, operator (a shutdown), its machine.
POSTGRESQL_AWAY = ("08", "28", "40", "53", "57", "58")
STANDBY, NO_LOCK = "25006", "55P03"  # it only reads, as after a change of machines; a lock was not to be had


def is_away(error: BaseException) -> bool:
    """Whether `error` says that the database cannot be had now; else it is a fault of ours."""
    if isinstance(error, TimeoutError):
        return True  # no connection became free: those that are out wait for a database that does not answer
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in SQLITE_AWAY
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # the driver's own words: it has no connection
        return error.connection_invalidated or isinstance(error, OperationalError)
    return state[:2] in POSTGRESQL_AWAY or state in (STANDBY, NO_LOCK)


def reason(error: BaseException) -> str:
    """The driver's own words in one line, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
