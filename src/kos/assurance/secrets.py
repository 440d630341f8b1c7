"""Text that looks like a secret, told by its shape or by the name that it is stored under."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Shapes that nothing but a secret has. Each is (what it is, pattern); no pattern may backtrack badly.
_SHAPES = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
    ("an NKEY seed", re.compile(r"\bS[ACNOPUX][A-Z2-7]{56}\b")),
    ("a password in a URL", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:[^\s/@]{1,128}@")),
)
_NAME = re.compile(
    r"(?:^|[_.-])(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|preshared[_-]?key|credentials?)$",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(r"--?([A-Za-z][A-Za-z0-9_.-]*)=(.+)", re.DOTALL)
# What a project writes where the real value comes from elsewhere.
_PLACEHOLDER = re.compile(r"\$\{?[A-Za-z_]|<[^>]*>$|/|\{\{")
# fmt: off
DEFAULTS = frozenset({
    "0000", "1111", "1234", "12345", "123456", "1234567", "12345678", "123456789", "admin",
    "administrator", "changeme", "default", "guest", "kos", "letmein", "pass", "passwd", "password",
    "qwerty", "raspberry", "root", "secret", "test", "toor", "ubnt", "user", "welcome",
})
# fmt: on


def shape_of(text: str) -> str | None:
    """What secret the text contains, such as "a private key"; None where it contains none."""
    for what, pattern in _SHAPES:
        if pattern.search(text):
            return what
    return None


def named_secret(name: str, value: object) -> bool:
    """Whether a name says that its value is a secret, and the value is one rather than a reference."""
    return (
        isinstance(value, str) and bool(value) and bool(_NAME.search(name)) and not _PLACEHOLDER.match(value)
    )


def is_default(value: str) -> bool:
    """Whether everybody would try this password first."""
    return value.lower() in DEFAULTS


def texts(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Every text inside a configuration as (path, the name it is stored under, text)."""
    pending: list[tuple[str, str, Any]] = [(path, "", value)]
    while pending:
        here, name, item = pending.pop()
        if isinstance(item, str):
            yield here, name, item
        elif isinstance(item, Mapping):
            pending += [(f"{here}.{key}", key, inside) for key, inside in item.items()]
        elif isinstance(item, list | tuple):
            pending += [(f"{here}[{index}]", name, inside) for index, inside in enumerate(item)]


def argument_texts(arguments: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Every argument as `texts` gives them; `--password=x` and `--password x` are stored under `password`."""
    before = ""
    for index, argument in enumerate(arguments):
        match = _ARGUMENT.fullmatch(argument)
        name, value = (match[1], match[2]) if match else (before, argument)
        before = argument.lstrip("-") if argument.startswith("-") and not match else ""
        yield f"arguments[{index}]", name.replace("-", "_"), value
