"""Traces for people: frames joined to a time line, its summary, and the file that Perfetto opens. No I/O."""

from kos.tracing.summary import Summary
from kos.tracing.timeline import Timeline

__all__ = ["Summary", "Timeline"]
