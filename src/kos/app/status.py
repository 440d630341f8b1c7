"""Status codes as exceptions. `kos.abi.status` says what each code means."""

from kos.abi.status import MEANINGS, Status

SUCCESSES = frozenset(
    map(int, (Status.OK, Status.CREATED, Status.PONG))
)  # plain numbers: compared for every reply


class StatusError(Exception):
    """An operation, or the app that answered it, did not succeed.

    Attributes:
        status: the `kos.abi.status.Status`, or the bare number when it is none.
    """

    def __init__(self, status: int) -> None:
        try:
            status = Status(status)
            text = f"{status.name}: {MEANINGS.get(status, '')}"
        except ValueError:
            text = f"status {status}"
        super().__init__(text)
        self.status = status


def is_failure(label: int) -> bool:
    """Whether a reply's label is a status that is no success."""
    return label not in SUCCESSES and Status.OK <= label <= max(Status)
