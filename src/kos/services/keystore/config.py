"""Which keys there are, and which app may do what with which. Pure."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.abi.services import KEY_STORE_NAME_MAX, KEY_STORE_TYPE_ED25519, KEY_STORE_TYPE_X25519

KEYS_MAX = 64
TYPES = {"ed25519": KEY_STORE_TYPE_ED25519, "x25519": KEY_STORE_TYPE_X25519}
OPERATIONS = {"ed25519": frozenset({"public", "sign"}), "x25519": frozenset({"public", "agree"})}
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


class KeySpec(namedtuple("_KeySpec", "name type ephemeral", defaults=(False,))):
    """A key by name. An `ephemeral` one is made at each start and never read from the key partition."""

    __slots__ = ()


STANDARD_KEYS = {
    spec.name: spec
    for spec in (
        KeySpec("tunnel", "x25519"),
        KeySpec("server", "ed25519"),
        # The self-test must not sign made-up bytes with a key that means something to somebody.
        KeySpec("self_test", "ed25519", ephemeral=True),
    )
}


class KeyStoreConfig(namedtuple("_KeyStoreConfig", "keys access")):
    """`keys`: name → `KeySpec`; `access`: app → key → set of operations."""

    __slots__ = ()


def parse(config: Mapping[str, object]) -> KeyStoreConfig:
    """Settings from the manifest's `config` of the key store.

    `keys` (name → {"type", "ephemeral"}) adds to the standard ones; `access` is app → key → operations.

    Raises:
        KosError: an unknown setting, key, type or operation.
    """
    _only(config, {"keys", "access"}, "the key store")
    keys = dict(STANDARD_KEYS)
    for name, entry in _table(config.get("keys", {}), "keys").items():
        keys[name] = _key(name, _table(entry, f"keys.{name}"))
    if len(keys) > KEYS_MAX:
        raise KosError(f"{len(keys)} keys, at most {KEYS_MAX}")
    access = {
        app: {
            name: _operations(keys, name, operations, f"access.{app}.{name}")
            for name, operations in _table(of_app, f"access.{app}").items()
        }
        for app, of_app in _table(config.get("access", {}), "access").items()
    }
    return KeyStoreConfig(keys, access)


def _key(name: str, entry: Mapping[str, object]) -> KeySpec:
    _only(entry, {"type", "ephemeral"}, f"keys.{name}")
    if not 1 <= len(name) <= KEY_STORE_NAME_MAX or not _NAME_LETTERS.issuperset(name):
        raise KosError(f"key name {name!r}: expected 1 to {KEY_STORE_NAME_MAX} of a to z, 0 to 9 and _")
    kind, ephemeral = entry.get("type"), entry.get("ephemeral", False)
    if not isinstance(kind, str) or kind not in TYPES or not isinstance(ephemeral, bool):
        raise KosError(f"keys.{name}: expected a type of {', '.join(TYPES)} and ephemeral true or false")
    return KeySpec(name, kind, ephemeral)


def _operations(keys: Mapping[str, KeySpec], name: str, listed: object, where: str) -> frozenset[str]:
    if name not in keys:
        raise KosError(f"{where}: there is no key {name!r}", hint=f"the keys are {', '.join(sorted(keys))}")
    possible = OPERATIONS[keys[name].type]
    if not isinstance(listed, list) or not all(isinstance(item, str) and item in possible for item in listed):
        raise KosError(f"{where}: expected a list of {', '.join(sorted(possible))}, found {listed!r}")
    return frozenset(listed)


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise KosError(f"{where}: expected a table, found {value!r}")
    return value


def _only(table: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = set(table) - known
    if unknown:
        raise KosError(f"unknown setting of {where}: {', '.join(sorted(unknown))}")
