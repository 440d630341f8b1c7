"""The kinds of text that name things in a manifest."""

from __future__ import annotations

from kos.manifest import limits
from kos.manifest.fields import Text

_WORD = "[a-z][a-z0-9_]*"

APP_NAME = Text(limits.NAME_MAX, _WORD, "an app's name")
SYSTEM_NAME = Text(limits.NAME_MAX, _WORD, "a system's name")
MSG_SERVER_NAME = Text(limits.NAME_MAX, _WORD, "a message server's name")
PORT_NAME = Text(limits.PORT_MAX, _WORD, "a port's name")
BUS_NAME = Text(limits.NAME_MAX, "[a-z][a-z0-9_-]*", "a bus's name")
DEVICE_NAME = Text(limits.PATH_MAX, "[A-Za-z0-9_][A-Za-z0-9_.:/-]*", "a device's name")
SYSTEM_PART = Text(limits.NAME_MAX, "bootfs|root", "a part of the device: bootfs or root")
RELEASE = Text(limits.RELEASE_MAX, "[0-9A-Za-z][0-9A-Za-z.+_-]*", "a release such as 1.2.0")
PLATFORM = Text(limits.PLATFORM_MAX, "[a-z0-9][a-z0-9_-]*(?:,[a-z0-9_]+=[a-z0-9_.-]+)*", "a platform spec")
WHERE = Text(limits.WHERE_MAX, "([^\\x00-\\x1f]+:[0-9]+)?", "a place such as system.py:12")
# Below the project's directory, with forward slashes, never upwards.
PROJECT_PATH = Text(
    limits.PATH_MAX, "(?!/)(?!.*(?:^|/)\\.\\.(?:/|$))[^\\x00-\\x1f\\\\]+", "a path inside the project"
)
SHA256 = Text(64, "[0-9a-f]{64}", "a SHA-256 in hexadecimal")
PYTHON_ENTRY = Text(
    limits.ENTRY_MAX,
    "[A-Za-z_][A-Za-z0-9_]*(?:\\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*",
    "an entry such as package.module:function",
)
SERVICE_ENTRY = Text(
    limits.ENTRY_MAX,
    "kos\\.services\\.[a-z_][a-z0-9_]*(?:\\.[a-z_][a-z0-9_]*)*:[a-z_][a-z0-9_]*",
    "a service's entry such as kos.services.rng.main:main",
)
PROGRAM = Text(limits.ENTRY_MAX, "bin/[A-Za-z0-9_][A-Za-z0-9_.-]*", "a program such as bin/sensor")
ENVIRON_KEY = Text(limits.ENVIRON_KEY_MAX, "[A-Za-z_][A-Za-z0-9_]*", "an environment variable's name")
IPV4 = Text(
    15,
    "(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])",
    "an IPv4 address",
)

RESERVED = frozenset(
    {"supervisor", "kernel"}
)  # names that the console and reports use for the platform itself
