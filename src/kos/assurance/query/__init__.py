"""Questions that a reviewer asks of a system, each answered with the path that proves it.

ask(manifest, "who-can-reach", "key:server")
ask(manifest, "what-can", "station")
ask(manifest, "path", "sensor", "log_server")
diff(old, new)
"""

from kos.assurance.query.answer import Answer, Line
from kos.assurance.query.ask import QUESTIONS, ask
from kos.assurance.query.diff import diff

__all__ = ["QUESTIONS", "Answer", "Line", "ask", "diff"]
