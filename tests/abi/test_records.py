"""Records behave as the standard library's data classes do, field for field."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

import pytest

from kos.abi import records


def _classes(module):
    """The same classes, made by `module`."""

    @module.dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2

        def __post_init__(self) -> None:
            if self.x is None:
                raise ValueError("x")

    @module.dataclass
    class Box:
        name: str
        items: list = module.field(default_factory=list)
        hidden: int = module.field(default=7, repr=False, compare=False)

    @module.dataclass(frozen=True)
    class Deep(Point):
        z: Point = Point(0)
        y: int = 5

    @module.dataclass(slots=True, eq=False)
    class Slot:
        a: int
        b: int = 1

    @module.dataclass(frozen=True)
    class Own:
        a: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

    return Point, Box, Deep, Slot, Own


OURS, THEIRS = _classes(records), _classes(dataclasses)
CALLS = [
    lambda P, B, D, S, W: P(1),
    lambda P, B, D, S, W: P(1, 3),
    lambda P, B, D, S, W: P(y=4, x=1),
    lambda P, B, D, S, W: B("a"),
    lambda P, B, D, S, W: B("a", [1], hidden=3),
    lambda P, B, D, S, W: D(1),
    lambda P, B, D, S, W: D(1, 2, P(3)),
    lambda P, B, D, S, W: W(1),
    lambda P, B, D, S, W: P(1) == P(1, 2),
    lambda P, B, D, S, W: P(1) == P(1, 3),
    lambda P, B, D, S, W: P(1) == D(1),
    lambda P, B, D, S, W: B("a", hidden=1) == B("a", hidden=2),
    lambda P, B, D, S, W: S(1) == S(1),
    lambda P, B, D, S, W: W(1) == W(2),
    lambda P, B, D, S, W: hash(P(1)) == hash(P(1)),
    lambda P, B, D, S, W: len({P(1), P(1), P(2)}),
    lambda P, B, D, S, W: B.__hash__,
    lambda P, B, D, S, W: B("a").items is B("a").items,
    lambda P, B, D, S, W: (S(3).a, S(3).b, hasattr(S(3), "__dict__")),
    lambda P, B, D, S, W: [c.__match_args__ for c in (P, B, D, S)],
]


@pytest.mark.parametrize("call", CALLS)
def test_values(call):
    assert repr(call(*OURS)) == repr(call(*THEIRS))


@pytest.mark.parametrize(
    "call",
    [
        lambda P, B, D, S, W: P(),
        lambda P, B, D, S, W: P(1, 2, 3),
        lambda P, B, D, S, W: P(1, x=1),
        lambda P, B, D, S, W: P(1, z=1),
        lambda P, B, D, S, W: P(None),
        lambda P, B, D, S, W: setattr(P(1), "x", 2),
        lambda P, B, D, S, W: setattr(P(1), "other", 2),
        lambda P, B, D, S, W: delattr(D(1), "x"),
        lambda P, B, D, S, W: setattr(S(1), "c", 2),
        lambda P, B, D, S, W: hash(B("a")),
    ],
)
def test_errors_are_of_the_same_kind(call):
    with pytest.raises(Exception) as theirs:
        call(*THEIRS)
    with pytest.raises(type(theirs.value)):
        call(*OURS)


def test_a_mutable_default_is_refused():
    with pytest.raises(ValueError, match="mutable default"):

        @records.dataclass
        class Bad:
            items: list = []  # noqa: RUF012


@pytest.mark.parametrize("module", [records, dataclasses])
def test_both_modules_work_on_a_record(module):
    point, box, deep, _slot, _own = OURS
    assert module.replace(point(1), y=9) == point(1, 9)
    assert module.replace(deep(1), z=point(4)).z == point(4)
    with pytest.raises(TypeError):
        module.replace(point(1), other=1)
    assert module.asdict(deep(1)) == {"x": 1, "y": 5, "z": {"x": 0, "y": 2}}
    assert module.asdict(box("a", [point(1)]))["items"] == [{"x": 1, "y": 2}]
    assert [one.name for one in module.fields(deep)] == ["x", "y", "z"]
    assert dataclasses.is_dataclass(point) and dataclasses.is_dataclass(point(1))
    assert str(inspect.signature(point)).startswith("(x: 'int', y: 'int' = 2)")


def test_a_data_class_may_inherit_from_a_record():
    @dataclasses.dataclass(frozen=True)
    class More(OURS[0]):
        more: int = 3

    assert More(1) == More(1, 2, 3) and More(1).more == 3


LEFT_OUT = ("argparse", "ast", "dataclasses", "inspect", "tarfile", "tempfile", "traceback", "typing")


@pytest.mark.parametrize(
    "modules",
    [
        "kos.device.init.main",
        "kos.device.supervisor, kos.device.cells, kos.device.limits, kos.device.runtime",
        "kos.device.upgrade.service",
        "kos.device.msgserver.server",
    ],
)
def test_what_starts_with_a_device_leaves_slow_modules_out(modules):
    code = f"import sys\nsys.path[:0] = {sys.path!r}\nbefore = set(sys.modules)\nimport {modules}\n"
    code += f"print(*sorted({{*{LEFT_OUT}}} & (set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-ISB", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], "import them where they are used: see kos.abi.records, kos.abi.hints"


def test_what_the_standard_library_asks_for_is_made_once() -> None:
    """A server asks for each report of each device."""
    point = _classes(records)[0]
    first = point.__dataclass_fields__
    assert point.__dataclass_fields__ is first and point(1).__dataclass_fields__ is first
    assert list(inspect.signature(point).parameters) == ["x", "y"] and point.__dataclass_fields__ is first
    assert dataclasses.asdict(point(1)) == {"x": 1, "y": 2}
