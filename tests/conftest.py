"""Groups of tests, their order, and the rule that CI skips nothing for want of a tool."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

# Each group with what it covers; the slow ones first, so that they run beside the many short ones.
GROUPS = {
    "qemu": "the real image under QEMU: boot, upgrade, fall-back",
    "powercut": "power cuts at every write of an upgrade",
    "microvm": "Linux guests inside the emulated device",
    "network": "tunnel, gateway and isolation, in network namespaces of the tests",
    "server": "Studio and Fleet Server, bus, database, simulated devices",
    "browser": "the pages in headless Chromium",
    "security": "hostile apps, in C and in Python",
    "examples": "each example, built and run as its README says",
    "unit": "everything else",
}
NOT_APPLICABLE = "not applicable:"  # a skip for this reason names no missing tool
FIGURES = "figures"  # the property of a report that holds what its test measured

# The same draws in every run, so that a test fails with the change that broke it and with no other; and no
# judgement by time, because the machine may be busy. `./test -- --hypothesis-profile=explore` draws anew.
_STEADY = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("steady", derandomize=True, **_STEADY)
settings.register_profile("explore", derandomize=False, **_STEADY)
settings.load_profile("steady")

# On Debian an ordinary user has no nft, dnsmasq or losetup in PATH.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--group", action="append", choices=list(GROUPS), help="run only this group (repeatable)"
    )


def group_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("group")
    return marker.args[0] if marker else "unit"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = list(GROUPS)
    for item in items:
        if group_of(item) not in GROUPS:
            raise pytest.UsageError(f"{item.nodeid}: group {group_of(item)!r} is not in tests/conftest.py")
    wanted = set(config.getoption("--group") or GROUPS)
    left_out = [item for item in items if group_of(item) not in wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(
        (item for item in items if group_of(item) in wanted), key=lambda item: order.index(group_of(item))
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    outcome = yield
    report = outcome.get_result()
    if not (report.skipped and os.environ.get("CI")) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if NOT_APPLICABLE not in reason:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where every tool must be there: {reason}"


@pytest.fixture
def figures(record_property) -> Callable[[str], None]:
    """Say what was measured: it is printed after the run, whichever worker measured it."""
    return lambda text: record_property(FIGURES, text)


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [one for found in terminalreporter.stats.values() for one in found if hasattr(one, "nodeid")]
    texts = {
        (report.nodeid, str(text))
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == FIGURES
    }
    if texts:
        terminalreporter.section("figures")
    for nodeid, text in sorted(texts):
        terminalreporter.line(f"{nodeid}\n{text}\n")
