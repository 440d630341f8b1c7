"""Names of `typing` for annotations, without importing it where a program runs.

Nothing on a device looks at annotations, and `typing` takes as long to import as a small service. A type
checker sees the real names. What is needed at run time, such as `NamedTuple`, is not here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, BinaryIO, ClassVar, NoReturn, Protocol, Self, TypeVar
else:
    IO = Any = BinaryIO = ClassVar = NoReturn = Self = object

    class Protocol:
        """The base of a class that only describes others."""

    class TypeVar:
        """A stand-in inside a generic base class."""

        def __init__(self, name):
            self.name = name


__all__ = [
    "IO",
    "TYPE_CHECKING",
    "Any",
    "BinaryIO",
    "ClassVar",
    "NoReturn",
    "Protocol",
    "Self",
    "TypeVar",
]
