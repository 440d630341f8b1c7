import pytest

from tests.device.msgserver.wire import Server


@pytest.fixture
def server():
    server = Server("weather", "clock")
    yield server
    server.stop()
