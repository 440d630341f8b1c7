"""Which devices a start looks for drivers for."""

from __future__ import annotations

from pathlib import Path

from kos.device.init.mounts import aliases


def _device(sys: Path, bus: str, name: str, alias: str | None) -> None:
    real = sys / "devices" / name
    real.mkdir(parents=True)
    if alias is not None:
        (real / "modalias").write_text(f"{alias}\n")
    (sys / "bus" / bus / "devices").mkdir(parents=True, exist_ok=True)
    (sys / "bus" / bus / "devices" / name).symlink_to(real)


def test_devices_of_every_bus_and_the_processor_ask(tmp_path: Path) -> None:
    _device(tmp_path, "virtio", "virtio0", "virtio:d00000002v00001AF4")
    _device(tmp_path, "virtio", "virtio1", "virtio:d00000001v00001AF4")
    _device(tmp_path, "platform", "pmu", "of:NpmuT(null)Carm,pmu")
    _device(tmp_path, "platform", "alarmtimer", None)
    _device(tmp_path, "platform", "empty", "")
    (tmp_path / "bus/platform/devices/gone").symlink_to(tmp_path / "devices/gone")
    (tmp_path / "devices/system/cpu").mkdir(parents=True)
    (tmp_path / "devices/system/cpu/modalias").write_text("cpu:type:aarch64:feature:,0003\n")

    assert aliases(str(tmp_path)) == {
        "virtio:d00000002v00001AF4",
        "virtio:d00000001v00001AF4",
        "of:NpmuT(null)Carm,pmu",
        "cpu:type:aarch64:feature:,0003",
    }
