import pytest

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import RNG_READ
from kos.abi.status import Status
from kos.services.rng.server import answer


@pytest.mark.parametrize("size", [1, 16, 256, PAYLOAD_MAX_SIZE])
def test_gives_as_many_bytes_as_asked(size: int) -> None:
    reply = answer("station", RNG_READ, size, b"")
    assert (reply.status, reply.param, len(reply.payload)) == (Status.OK, size, size)


def test_every_answer_is_fresh() -> None:
    assert len({answer("station", RNG_READ, 16, b"").payload for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("size", "payload"), [(0, b""), (PAYLOAD_MAX_SIZE + 1, b""), (1 << 63, b""), (16, b"x")]
)
def test_refuses_what_is_out_of_range(size: int, payload: bytes) -> None:
    assert answer("station", RNG_READ, size, payload).status is Status.BAD_REQUEST


def test_knows_no_other_label() -> None:
    assert answer("station", RNG_READ + 1, 16, b"").status is Status.NOT_IMPLEMENTED
