"""station: serves weather_protocol, and logs the readings that arrive there through the log server."""

from google.protobuf.message import DecodeError
from weather_pb2 import Reading

from kos import app
from kos.app import log

PORT = "weather_protocol"
READING = 1  # label: the payload is a weather.Reading


def describe(reading: Reading) -> str:
    """A reading in the units that people use."""
    temperature = reading.temperature_centi / 100
    pressure = reading.pressure_pascal_256 / 256 / 100
    humidity = reading.humidity_percent_1024 / 1024
    return f"reading {reading.sequence}: {temperature:.2f} °C, {pressure:.2f} hPa, {humidity:.1f} %"


class Station:
    """Counts readings. With `crash_after`, fails on purpose at that one, to show how it is restarted."""

    def __init__(self, crash_after: int) -> None:
        self._crash_after = crash_after
        self._count = 0

    def take(self, request: app.Request) -> None:
        """Log one reading."""
        try:
            reading = Reading.FromString(bytes(request.payload))
        except DecodeError:
            raise app.StatusError(app.Status.BAD_REQUEST) from None
        log.info(f"{describe(reading)} from {request.client.name}")
        self._count += 1
        if self._count == self._crash_after:
            # Not an exception: `serve` would answer it and go on, as it should.
            raise SystemExit(f"failing on purpose after {self._count} readings")


def main() -> None:
    station = Station(app.config()["crash_after"])
    server = app.Server()
    server.bind(PORT, {READING: station.take})
    log.info("waiting for readings")
    app.ready()
    server.serve()
