"""Reports into device rows. The newest report of a boot wins; repeating one changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.records import asdict
from kos.abi.session import Report
from kos.server.core.db.models import Device


def is_newer(device: Device, report: Report) -> bool:
    """Whether `report` says something later than what the row holds."""
    return report.boot != device.boot or report.seq > device.report_seq


def apply_report(device: Device, report: Report, received: int) -> bool:
    """Write a report into the device's row; says whether a page would show a difference."""
    if not is_newer(device, report):
        return False
    before = _visible(device)
    device.boot, device.report_seq = report.boot, report.seq
    device.online, device.last_seen_at = True, max(device.last_seen_at, received)
    device.generation = report.generation
    device.running, device.running_overlay = report.release, report.overlay
    device.healthy = report.healthy
    device.update_version = report.update.version
    device.update_state = report.update.state
    device.update_progress = report.update.progress
    device.update_reason = report.update.reason
    apps = {name: asdict(app) for name, app in report.apps.items()}
    if apps != device.apps:
        device.apps = apps
    if report.metrics != device.metrics:
        device.metrics = dict(report.metrics)
    return _visible(device) != before


def metric_points(report: Report, received: int) -> list[tuple[str, int, float]]:
    """A report's metrics as points of the series `device/<name>`, at the time of receipt."""
    points = [(f"device/{name}", received, value) for name, value in report.metrics.items()]
    points.append(("device/healthy", received, float(report.healthy)))
    return points


def _visible(device: Device) -> Mapping[str, object]:
    states = {name: (app["state"], app["restarts"]) for name, app in device.apps.items()}
    return {
        "online": device.online,
        "generation": device.generation,
        "running": device.running,
        "healthy": device.healthy,
        "update": (device.update_version, device.update_state, round(device.update_progress, 2)),
        "apps": states,
    }
