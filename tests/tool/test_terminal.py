"""A terminal here is the terminal there: keys go as they are pressed, Ctrl-] leaves, ours is as it was."""

from __future__ import annotations

import os
import queue
import sys
import termios
import threading

import pytest

from kos.tool.terminal import LEAVE, Terminal


class Stream:
    """The reader's end of a stream, whose other side is this test."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.sent = b""
        self.news = threading.Condition()
        self.coming: queue.Queue[bytes] = queue.Queue()

    def send(self, data: bytes) -> None:
        with self.news:
            self.sent += data
            self.news.notify_all()

    def receive(self) -> bytes:
        data = self.coming.get()
        if not data:
            self.reason = "the app ended"
        return data

    def wait_for(self, wanted: bytes) -> None:
        with self.news:
            assert self.news.wait_for(lambda: self.sent == wanted, 90.0), self.sent


def test_keys_go_as_they_are_pressed_and_the_terminal_is_given_back(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = os.openpty()
    stream = Stream()
    with open(theirs, "rb", buffering=0) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        before = termios.tcgetattr(keyboard)

        def press() -> None:
            # Raw by then: in the terminal's ordinary mode Ctrl-C would not be a byte, nor CR stay one.
            while termios.tcgetattr(keyboard)[3] & termios.ICANON:
                pass
            os.write(ours, b"ls\x03\r")
            stream.wait_for(b"ls\x03\r")
            os.write(ours, b"x" + LEAVE + b"not sent")

        thread = threading.Thread(target=press)
        thread.start()
        assert Terminal(stream).run() is None
        thread.join(90)
        assert stream.sent == b"ls\x03\rx"
        assert termios.tcgetattr(keyboard) == before
    os.close(ours)
    stream.coming.put(b"")


def piped(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    readable, writable = os.pipe()
    os.write(writable, text)
    os.close(writable)
    monkeypatch.setattr(sys, "stdin", open(readable, "rb", buffering=0))  # noqa: SIM115 - the test's end closes it


def test_what_is_piped_in_is_typed_and_answers_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
):
    piped(monkeypatch, b"hello\n")
    stream = Stream()
    stream.coming.put(b"hello\r\nhello to you\r\n")
    assert Terminal(stream).run() is None
    sys.stdin.close()
    assert stream.sent == b"hello\n"
    assert capsysbinary.readouterr().out == b"hello\r\nhello to you\r\n"
    stream.coming.put(b"")


def test_the_end_of_the_other_side_is_told(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
):
    readable, writable = os.pipe()
    stream = Stream()
    stream.coming.put(b"Kernel panic\r\n")
    stream.coming.put(b"")
    with open(readable, "rb", buffering=0) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        assert Terminal(stream).run() == "the app ended"
    os.close(writable)
    assert capsysbinary.readouterr().out == b"Kernel panic\r\n"
