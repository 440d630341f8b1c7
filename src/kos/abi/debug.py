"""The debugging channel of an app: what the supervisor and the app agree on. Imports nothing: every app's
start does.

A SEQPACKET socket that an app has only when the manifest grants it. Each packet is a letter, the number of
the session as 4 bytes, big end first, and bytes. An app serves one session at a time.
"""

from __future__ import annotations

ENVIRON_SHELL = "KOS_SHELL"  # the descriptor's number, in a Python app
ENVIRON_CONSOLE = "KOS_GUEST_CONSOLE"  # and in a microVM
OPEN, CLOSE, BYTES = b"O", b"C", b"B"
HEAD = 5  # bytes before a packet's own
PIECE_MAX = 16 * 1024  # bytes of one piece of a stream
PACKET_MAX = HEAD + PIECE_MAX
THREADS = 4  # that a shell may need in an app, beyond what the manifest allows it

# What a shell's stream carries, a JSON object a line. To the app: {"run": LINE}, {"complete": TEXT},
# {"interrupt": true}. From it: {"banner": TEXT}, {"prompt": TEXT} when it waits for a line, {"out": TEXT},
# {"completions": [TEXT, …], "of": TEXT}.
SHELL_LINE_MAX = 8 * 1024  # bytes of one object to the app
SHELL_WAITING_MAX = 1000  # lines that may wait while one runs
SHELL_OUTPUT_MAX = 256 * 1024  # characters that one statement may print; the rest is dropped and said so
SHELL_COMPLETIONS_MAX = 100
