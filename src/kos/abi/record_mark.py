"""What a device says about each record that it keeps until the server has it: enough for the server to take
every record once and in order, however often and however late it arrives.

Plain Python: no import outside the standard library, no I/O.
"""

from __future__ import annotations

import re

from kos.abi.errors import KosError
from kos.abi.records import dataclass

RECORD_HEADER = "Kos-Record"  # of the bus' message
NUMBER_MAX = (1 << 63) - 1
AGE_MAX = 400 * 24 * 3600 * 1000  # ms; what claims to be older has no time of its own
_TEXT = re.compile(r"([0-9a-f]{12}) ([0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19})")


@dataclass(frozen=True)
class RecordMark:
    """A record's place in the device's spool.

    Attributes:
        spool: which one; it changes when the device lost its count.
        number: grows with every record of a spool and is never used twice.
        after: the record that left just before this one and was not acknowledged then; 0 when everything
            before is acknowledged or given up. Who has not got that one must not take this one: both come
            again.
        age: milliseconds for which it waited on the device.
    """

    spool: str
    number: int
    after: int
    age: int

    def to_text(self) -> str:
        return f"{self.spool} {self.number} {self.after} {min(max(0, self.age), AGE_MAX)}"

    @classmethod
    def parse(cls, text: str) -> RecordMark:
        """Read the header.

        Raises:
            KosError: it is none.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise KosError(f"{RECORD_HEADER}: expected SPOOL NUMBER AFTER AGE, found {text[:80]!r}")
        number, after, age = (int(each) for each in found.groups()[1:])
        if not 0 < number <= NUMBER_MAX or after >= number:
            raise KosError(f"{RECORD_HEADER}: number {number} after {after}")
        return cls(found[1], number, after, min(age, AGE_MAX))
