"""Write to the log server: `log.info("started")`.

An app that the manifest does not connect to the log port still gets its lines on the console, through
standard output. Logging never fails and never waits for a log server that is not there.
"""

from __future__ import annotations

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import (
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_WRITE,
    PORT_LOG,
)
from kos.app.status import StatusError
from kos.app.token import Token, connect

_NAMES = {LOG_LEVEL_DEBUG: "debug", LOG_LEVEL_INFO: "info", LOG_LEVEL_WARN: "warn", LOG_LEVEL_ERROR: "error"}
_token: Token | None = None


def write(level: int, text: str) -> None:
    """Write one record; a text that is too long is cut, at a character's end."""
    global _token
    data = text.encode("utf-8", "replace")
    if len(data) > PAYLOAD_MAX_SIZE:
        data = data[:PAYLOAD_MAX_SIZE].decode("utf-8", "ignore").encode()
    for _attempt in range(2):  # once more with a fresh connection, when the log server was restarted
        try:
            if _token is None:
                _token = connect(PORT_LOG, timeout=0)
            _token.send(LOG_WRITE, level, data)
            return
        except StatusError:
            _token = None
    print(f"{_NAMES.get(level, level)}: {text}", flush=True)


def debug(text: str) -> None:
    write(LOG_LEVEL_DEBUG, text)


def info(text: str) -> None:
    write(LOG_LEVEL_INFO, text)


def warn(text: str) -> None:
    write(LOG_LEVEL_WARN, text)


def error(text: str) -> None:
    write(LOG_LEVEL_ERROR, text)
