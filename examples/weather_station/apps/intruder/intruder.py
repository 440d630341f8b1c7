"""intruder: was granted random numbers, and tries to use more. Every attempt is refused and reported."""

import signal
from pathlib import Path

from kos import app

PORTS = ("weather_protocol", "kos_i2c2_protocol", "kos_key_store_protocol", "kos_log_protocol", "no_such")


def try_port(port: str) -> str:
    try:
        app.connect(port, timeout=0)
    except app.StatusError as error:
        return f"refused, {error.status.name}"
    return "CONNECTED"


def main() -> None:
    print(f"kos_rng_protocol: granted, {app.random(4).hex()}")
    for port in PORTS:
        print(f"{port}: {try_port(port)}")
    processes = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    print(f"processes to be seen: {len(processes)}, all of this sandbox")
    app.ready()
    signal.pause()
