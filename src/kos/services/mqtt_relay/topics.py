"""Which subject an app's topic becomes. Pure.

    kos/telemetry, kos/event     up.telemetry, up.event: documents that the servers read (kos.abi.session)
    any/other/topic              up.data.APP.any.other.topic

so that a foreign MQTT client reads `kos/d/DEVICE/up/data/APP/any/other/topic` at the server. No topic of one
app can look like another app's.
"""

from __future__ import annotations

import re

from kos.abi.errors import KosError
from kos.abi.session import UP_DATA, UP_EVENT, UP_TELEMETRY

LEVELS_MAX = 16
_TOPIC = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_DOCUMENTS = {"kos/telemetry": UP_TELEMETRY, "kos/event": UP_EVENT}


def kind_of(app: str, topic: str) -> str:
    """The end of the subject, after `up.`.

    Raises:
        KosError: a topic that cannot be one here.
    """
    if topic in _DOCUMENTS:
        return _DOCUMENTS[topic]
    if not _TOPIC.fullmatch(topic) or topic.count("/") >= LEVELS_MAX or topic.startswith("kos/"):
        raise KosError(
            f"{app} publishes to {topic[:80]!r}",
            hint=f"letters, digits, _ and - in at most {LEVELS_MAX} levels; of kos/ only telemetry and event",
        )
    return f"{UP_DATA}.{app}.{topic.replace('/', '.')}"
