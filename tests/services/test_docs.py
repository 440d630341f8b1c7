"""The pages of the core apps name every operation and every setting there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos.abi import services
from kos.services.i2c import config as i2c
from kos.services.keystore import config as keystore
from kos.services.log import config as log
from kos.services.selftest import main as selftest

PACKAGES = Path(__file__).resolve().parents[2] / "docs" / "packages"
LABELS = {
    "rng_server": ["RNG_READ"],
    "log_server": ["LOG_WRITE", "LOG_READ"],
    "key_store": ["KEY_STORE_PUBLIC", "KEY_STORE_SIGN", "KEY_STORE_AGREE", "KEY_STORE_LIST"],
    "ethernet": ["ETHERNET_STATUS", "ETHERNET_RESOLVE"],
    "tunnel": ["INTERNET_STATUS", "INTERNET_COUNTERS"],
    "mqtt_relay": ["MQTT_STATUS"],
    "trace_server": ["TRACE_STATUS", "TRACE_WATCH", "TRACE_READ", "TRACE_STOP"],
    "microvm": ["VM_CONSOLE_READ", "VM_CONSOLE_WRITE", "VM_STATUS", "VM_SNAPSHOT", "VM_SNAPSHOT_READ"],
    "i2c_server": ["I2C_GET_FEATURES", "I2C_WRITE", "I2C_READ", "I2C_TRANSFER"],
}
SETTINGS = {
    "log_server": log.LogConfig._fields,
    "key_store": keystore.KeyStoreConfig._fields,
    "i2c_server": i2c.I2CConfig._fields,
}


@pytest.mark.parametrize("page", LABELS)
def test_every_operation_is_on_the_page_with_its_number(page: str) -> None:
    text = (PACKAGES / f"{page}.md").read_text()
    for label in LABELS[page]:
        assert f"`{label}` ({getattr(services, label)})" in text


@pytest.mark.parametrize("page", SETTINGS)
def test_every_setting_is_on_the_page(page: str) -> None:
    text = (PACKAGES / f"{page}.md").read_text()
    for setting in SETTINGS[page]:
        assert f"`{setting}`" in text


def test_every_check_and_every_simulated_device_is_on_its_page() -> None:
    text = (PACKAGES / "self_test.md").read_text()
    for check in ["message server", *selftest.SERVICES, *selftest.SANDBOX]:
        assert f"| {check} |" in text
    devices = Path(i2c.__file__).parent / "devices"
    text = (PACKAGES / "i2c_server.md").read_text()
    for path in devices.glob("*.py"):
        assert "register(" not in path.read_text() or f"| `{path.stem}` |" in text
