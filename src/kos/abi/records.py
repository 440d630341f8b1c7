"""Data classes for what starts with a device: `dataclasses` as far as we use it, made without compiling code.

The standard library's decorator writes source for each class and compiles it at every import, and its module
brings `inspect`, `ast` and `tokenize`: on a small board, or under an emulator, that was a third of the
time that Python takes to start the supervisor. Here a class keeps a table of its fields, and four functions
read the table.

What `dataclasses` itself offers (`fields`, `replace`, `is_dataclass`, …) works on these classes; only then is
it imported. Not here: `init=False`, `kw_only`, `order`, `InitVar`, and class variables among the fields.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs as much to import as this module saves for a dozen classes
if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, fields, replace
else:
    _NONE = object()
    _set = object.__setattr__

    class _Field:
        """What a class says of one field."""

        __slots__ = ("compare", "default", "default_factory", "metadata", "name", "repr", "type")

        def __init__(self, default, default_factory, repr, compare, metadata):
            self.name = self.type = ""
            self.default, self.default_factory = default, default_factory
            self.repr, self.compare, self.metadata = repr, compare, metadata

    def field(*, default=_NONE, default_factory=_NONE, repr=True, compare=True, metadata=None):
        """As `dataclasses.field`."""
        return _Field(default, default_factory, repr, compare, metadata)

    class _Lazy:
        """An attribute of a class that the standard library's functions look for."""

        def __init__(self, name):
            self._name = name

        def __get__(self, _instance, owner):
            import dataclasses
            import inspect

            table, options = owner.__record__
            wanted = []
            for one in table.values():
                more = {"repr": one.repr, "compare": one.compare, "metadata": one.metadata}
                if one.default is not _NONE:
                    more["default"] = one.default
                if one.default_factory is not _NONE:
                    more["default_factory"] = one.default_factory
                wanted.append((one.name, one.type, dataclasses.field(**more)))
            made = dataclasses.make_dataclass(owner.__name__, wanted, **options)
            # Once for each class: who asks for these asks again, and making them takes a millisecond.
            owner.__dataclass_fields__ = made.__dataclass_fields__
            owner.__dataclass_params__ = made.__dataclass_params__
            owner.__signature__ = inspect.signature(made)
            return getattr(owner, self._name)

    def dataclass(cls=None, /, *, frozen=False, eq=True, slots=False):
        """As `dataclasses.dataclass`."""
        if cls is None:
            return lambda found: _made(found, frozen, eq, slots)
        return _made(cls, frozen, eq, slots)

    def _made(cls, frozen, eq, slots):
        table = {}
        for base in reversed(cls.__mro__[1:]):
            table.update(vars(base).get("__record__", ({}, None))[0])
        for name, type_ in vars(cls).get("__annotations__", {}).items():
            default = vars(cls).get(name, _NONE)
            one = default if isinstance(default, _Field) else _Field(default, _NONE, True, True, None)
            one.name, one.type = name, type_
            if isinstance(default, _Field):
                if one.default is _NONE:
                    delattr(cls, name)
                else:
                    setattr(cls, name, one.default)
            elif default.__class__.__hash__ is None:
                raise ValueError(f"mutable default {type(default)} for field {name} is not allowed")
            table[name] = one
        if slots:
            cls = _slotted(cls, table)
        cls.__record__ = table, {"frozen": frozen, "eq": eq}
        cls.__match_args__ = tuple(table)
        for name in ("__dataclass_fields__", "__dataclass_params__", "__signature__"):
            setattr(cls, name, _Lazy(name))
        methods = {"__init__": _init(cls, table), "__repr__": _repr}
        if eq:
            methods["__eq__"] = _eq
        if frozen:
            methods["__setattr__"], methods["__delattr__"] = _refusals(cls, table)
        own = vars(cls)
        for name, method in methods.items():
            if name not in own:
                setattr(cls, name, method)
        if eq and own.get("__hash__") is None:  # a class with an __eq__ of its own has None there
            cls.__hash__ = _hash if frozen else None
        return cls

    def _slotted(cls, table):
        left_out = (*table, "__dict__", "__weakref__")
        body = {name: value for name, value in vars(cls).items() if name not in left_out}
        return type(cls)(cls.__name__, cls.__bases__, {**body, "__slots__": tuple(table)})

    def _init(cls, table):
        names = tuple(table)
        plain = {name: one.default for name, one in table.items() if one.default is not _NONE}
        made = {name: one.default_factory for name, one in table.items() if one.default_factory is not _NONE}
        after = hasattr(cls, "__post_init__")

        def __init__(self, *values, **named):
            given = len(values)
            if given:
                if given > len(names):
                    raise TypeError(f"{cls.__name__}() takes {len(names)} values, found {given}")
                for name, value in zip(names, values):  # noqa: B905
                    if name in named:
                        raise TypeError(f"{cls.__name__}() got multiple values for argument {name!r}")
                    _set(self, name, value)
            missing = []
            for name in names[given:] if given else names:
                if name in named:
                    _set(self, name, named.pop(name))
                elif name in plain:
                    _set(self, name, plain[name])
                elif name in made:
                    _set(self, name, made[name]())
                else:
                    missing.append(repr(name))
            if named:
                raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {next(iter(named))!r}")
            if missing:
                raise TypeError(f"{cls.__name__}() missing required arguments: {', '.join(missing)}")
            if after:
                self.__post_init__()

        return __init__

    def _refusals(cls, table):
        def refuse(self, name, what):
            if type(self) is cls or name in table:
                from dataclasses import FrozenInstanceError

                raise FrozenInstanceError(f"cannot {what} field {name!r}")

        def __setattr__(self, name, value):
            refuse(self, name, "assign to")
            super(cls, self).__setattr__(name, value)

        def __delattr__(self, name):
            refuse(self, name, "delete")
            super(cls, self).__delattr__(name)

        return __setattr__, __delattr__

    def _compared(record):
        return tuple([getattr(record, one.name) for one in record.__record__[0].values() if one.compare])

    def _eq(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _compared(self) == _compared(other)

    def _hash(self):
        return hash(_compared(self))

    def _repr(self):
        shown = (one.name for one in self.__record__[0].values() if one.repr)
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def replace(record, /, **changes):
        """As `dataclasses.replace`."""
        return type(record)(**{name: getattr(record, name) for name in record.__record__[0]} | changes)

    def fields(record):
        """As `dataclasses.fields`: objects with name, type, default and default_factory."""
        return tuple(record.__record__[0].values())

    def asdict(record):
        """As `dataclasses.asdict`, but leaves are not copied."""
        return {name: _plain(getattr(record, name)) for name in record.__record__[0]}

    def _plain(value):
        if hasattr(type(value), "__record__"):
            return asdict(value)
        if isinstance(value, dict):
            return {_plain(key): _plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(_plain, value))
        return value


__all__ = ["asdict", "dataclass", "field", "fields", "replace"]
