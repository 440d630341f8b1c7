"""The key store's logic: which app may do what with which key. No transport, and no private key leaves."""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.services import (
    KEY_STORE_AGREE,
    KEY_STORE_EPHEMERAL,
    KEY_STORE_LIST,
    KEY_STORE_NAME_MAX,
    KEY_STORE_PUBLIC,
    KEY_STORE_SIGN,
)
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.keystore.config import TYPES
from kos.services.keystore.keys import Key

_NOT_FOUND = Answer(Status.NOT_FOUND)
_LABELS = {KEY_STORE_PUBLIC: "public", KEY_STORE_SIGN: "sign", KEY_STORE_AGREE: "agree"}


class KeyStore:
    """Answers apps by what the configuration gives each of them."""

    def __init__(self, keys: Mapping[str, Key], access: Mapping[str, Mapping[str, frozenset[str]]]) -> None:
        self._keys = keys
        self._access = access

    def answer(self, app: str, label: int, _param: int, payload: bytes) -> Answer:
        granted = self._access.get(app, {})
        if label == KEY_STORE_LIST:
            return self._list(granted) if not payload else BAD_REQUEST
        operation = _LABELS.get(label)
        if operation is None:
            return NOT_IMPLEMENTED
        name, separator, data = payload.partition(b"\0")
        if not separator or len(name) > KEY_STORE_NAME_MAX:
            return BAD_REQUEST
        try:
            text = name.decode("ascii")
        except UnicodeDecodeError:
            return BAD_REQUEST
        # One answer for "no such key" and for "not for you": an app learns nothing of what others hold.
        if operation not in granted.get(text, ()):
            return _NOT_FOUND
        return _use(self._keys[text], operation, data)

    def _list(self, granted: Mapping[str, frozenset[str]]) -> Answer:
        lines = (
            f"{name} {self._keys[name].spec.type} {','.join(sorted(granted[name]))}\n"
            for name in sorted(granted)
        )
        return Answer(Status.OK, len(granted), "".join(lines).encode())


def _use(key: Key, operation: str, data: bytes) -> Answer:
    if operation == "sign":
        return Answer(Status.OK, 0, key.sign(data))
    if operation == "agree":
        try:
            return Answer(Status.OK, 0, key.agree(data))
        except ValueError:
            return BAD_REQUEST
    if data:
        return BAD_REQUEST
    mark = 0 if key.provisioned else KEY_STORE_EPHEMERAL
    return Answer(Status.OK, TYPES[key.spec.type] | mark, key.public)
