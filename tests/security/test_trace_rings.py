"""Hostile apps in a traced system: garbage in their own ring, forged records, floods. Others lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracing.running import caller, echo, started, watching

pytestmark = pytest.mark.group("security")
BOTH = {("caller", "echo", "message"), ("echo", "caller", "answer")}

# Asks for its own ring over the control connection, as libkos did, and writes whatever it likes.
HOSTILE = """
    import mmap, os, random, socket, struct
    from kos import app
    def main():
        control = socket.socket(fileno=int(os.environ["KOS_MSG_SERVERS"].split(":")[1]))
        app.connect("echo")
        control.send(struct.pack("<II6Q", 22, 0, *[0] * 6))
        _packet, descriptors, _flags, _address = socket.recv_fds(control, 8192, 4)
        ring = mmap.mmap(descriptors[0], os.fstat(descriptors[0]).st_size)
        app.ready()
        print("at work", flush=True)
        chance = random.Random(1)
        while True:
            {attack}
"""
GARBAGE = """
            place = 4096 + 64 * chance.randrange(2048)
            ring[place:place + 64] = chance.randbytes(64)
            ring[64:68] = chance.randbytes(4)
            ring[0:12] = chance.randbytes(12)
"""
# Says that it, too, received each call of `caller`, and sent each answer: mailboxes and numbers are small.
FORGED = """
            import time
            head = getattr(main, "head", 100000)
            for mailbox in range(1, 40):
                number = chance.randrange(1, 400)
                place = 4096 + 64 * (head % 2048)
                kind = chance.choice((1, 2, 5, 6))
                words = (7, 0, 1, mailbox, number, 1, 128, 65536 + chance.randrange(8), {server}, 4, kind)
                ring[place:place + 64] = struct.pack("<4Q6IHBBBBH", time.monotonic_ns(), *words, 0, 1, 1, 0)
                head += 1
            main.head = head
            ring[64:68] = (head & 0xFFFFFFFF).to_bytes(4, "little")
"""


def hostile(attack: str):
    from kos.abi.trace import name_hash

    attack = attack.replace("{server}", str(name_hash("msg0")))
    return caller(HOSTILE.replace("{attack}", attack.strip()))


@pytest.mark.parametrize("attack", [GARBAGE, FORGED], ids=["garbage", "forged"])
def test_what_an_app_writes_into_its_ring_is_about_itself(tmp_path: Path, attack: str) -> None:
    apps = {"echo": echo(tmp_path), "caller": caller(), "thief": hostile(attack)}
    with started(tmp_path, apps) as system, watching(system) as watch:
        system.wait_for("thief              | at work")
        watch.until(
            lambda seen: any(who == "thief" for who, _name in seen.titles()),
            "the hostile app's records",
            check=False,
        )
        watch.forget()
        for _ in range(3):
            watch.until(lambda seen: seen.arrows() >= BOTH, "arrows between the others", check=False)
            assert not {
                arrow for arrow in watch.arrows() if "thief" in arrow[:2] and arrow[:2] != ("thief", "echo")
            }
            watch.forget()
        assert "caller" not in watch.timeline.invalid and "echo" not in watch.timeline.invalid
        status = system.status()["apps"]
        assert all(status[name]["restarts"] == 0 for name in ("trace_server", "caller", "echo"))


def test_an_app_that_floods_its_ring_loses_its_own_records_only(tmp_path: Path) -> None:
    flood = """
        from kos import app
        def main():
            app.ready()
            while True:
                app.trace_mark(1)
    """
    apps = {"echo": echo(tmp_path), "caller": caller(), "flood": caller(flood)}
    with started(tmp_path, apps) as system, watching(system) as watch:
        watch.until(lambda seen: seen.timeline.lost.get("flood", 0) > 10_000, "what the flood lost")
        watch.forget()
        watch.until(lambda seen: seen.arrows() >= BOTH, "arrows between the others")
        assert set(watch.timeline.lost) == {"flood"}
