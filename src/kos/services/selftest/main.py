"""The self-test: it is ready only when every check passed, and otherwise fails with the name of the check.

It tests the core apps that the manifest connects it to, and its own sandbox. Then it waits, so that its state
stays visible.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from kos import app
from kos.abi.errors import KosError
from kos.abi.services import PORT_KEY_STORE, PORT_LOG, PORT_RNG
from kos.services.selftest import sandbox, services

Check = Callable[[], None]

SANDBOX: dict[str, Check] = {
    "no network": sandbox.no_network,
    "no other processes": sandbox.no_other_processes,
    "confined": sandbox.confined,
    "read-only": sandbox.read_only,
}
SERVICES: dict[str, tuple[str, Check]] = {
    "rng": (PORT_RNG, services.rng),
    "log": (PORT_LOG, services.log),
    "key store": (PORT_KEY_STORE, services.key_store),
}


def checks() -> dict[str, Check]:
    """What there is to check here, in order."""
    served = {name: check for name, (port, check) in SERVICES.items() if _granted(port)}
    return {"message server": services.message_server, **served, **SANDBOX}


def run(todo: dict[str, Check]) -> None:
    """Do every check and print a line for each.

    Raises:
        KosError: names the checks that failed.
    """
    failed = []
    for name, check in todo.items():
        try:
            check()
        except (KosError, app.StatusError, OSError) as problem:
            failed.append(name)
            print(f"failed {name}: {problem}")
        else:
            print(f"passed {name}")
    if failed:
        raise KosError(f"self-test failed: {', '.join(failed)}")


def _granted(port: str) -> bool:
    try:
        app.query(port)
    except app.StatusError as error:
        if error.status is not app.Status.NOT_FOUND:
            raise
        return False
    return True


def main() -> None:
    run(checks())
    app.ready()
    while True:
        signal.pause()
