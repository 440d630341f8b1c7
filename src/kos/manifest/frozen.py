"""A dictionary that cannot change, so that a manifest's values can be shared between contexts."""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.hints import Any, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A `dict` without the methods that change it; `with_item` and `without` make changed copies."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("a value of a manifest cannot be changed; make a new one with update_app or replace")

    __setitem__ = __delitem__ = __ior__ = _refuse  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> FrozenDict[K, V]:
        return self

    def __deepcopy__(self, _memo: object) -> FrozenDict[K, V]:
        return self  # values are frozen too

    def __reduce__(self) -> tuple[type, tuple[dict[K, V]]]:
        return FrozenDict, (dict(self),)

    def with_item(self, key: K, value: V) -> FrozenDict[K, V]:
        return FrozenDict({**self, key: value})

    def without(self, key: K) -> FrozenDict[K, V]:
        return FrozenDict({k: v for k, v in self.items() if k != key})


EMPTY: FrozenDict[Any, Any] = FrozenDict()


def freeze(value: Any) -> Any:
    """`value` with every mapping a `FrozenDict` and every list a tuple, all the way down."""
    if isinstance(value, Mapping):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The opposite of `freeze`: plain dictionaries and lists, for an encoder."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value
