"""The supervisor's side of the network: start the keeper, fetch what an app gets. The supervisor's thread
waits for each answer; the keeper gives them within milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.device.network.plan import NetworkPlan
from kos.network.namespaces import CLONE_NEWNET, CLONE_NEWUSER, set_namespace

# As on a device, where no environment names our packages: the new interpreter finds what this one has found.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from kos.device.network.keeper import main; sys.exit(main())"
)
START_TIMEOUT = 30.0  # seconds; WireGuard's kernel module is loaded within it on a small board
ANSWER_TIMEOUT = 5.0  # for what can be asked again


class Join:
    """How a process enters an app's network: call it between fork and exec. Close it afterwards.

    Attributes:
        network: descriptor of the network namespace.
        user: whether it also enters the keeper's user namespace, as the process of an ordinary user must.
    """

    def __init__(self, network: int, user: int | None) -> None:
        self.network = network
        self._user = user
        self.user = user is not None

    def __call__(self) -> None:
        if self._user is not None:
            set_namespace(self._user, CLONE_NEWUSER)
        set_namespace(self.network, CLONE_NEWNET)

    def close(self) -> None:
        os.close(self.network)
        if self._user is not None:
            os.close(self._user)


class NetworkClient:
    """The keeper of one system.

    Attributes:
        plan: what it built.
        built: whether the keeper has said that the plan is built.
        process: the keeper; its end takes every app's network with it.
    """

    def __init__(self, plan: NetworkPlan, keys: Path, *, owned: bool, prefix: Sequence[str] = ()) -> None:
        """Start the keeper; the first question to it waits until the plan is built.

        Args:
            plan: what to build.
            keys: the folder of the key partition.
            owned: whether the machine's interfaces are ours, as on a device and not on the `host` platform.
            prefix: a command that runs the keeper with fewer rights than ours.
        """
        self.plan = plan
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours

        def only_descriptor() -> None:
            os.dup2(theirs.fileno(), wire.KEEPER_FD, inheritable=True)

        with theirs:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-I", "-S", "-B", "-c", _BOOT, json.dumps(sys.path)],
                preexec_fn=only_descriptor,
                close_fds=True,
                pass_fds=[wire.KEEPER_FD],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.built = False
        self._number = 0  # of the newest question
        start = {"plan": plan.to_json(), "keys": str(keys), "owned": owned}
        self._control.send(json.dumps(start).encode())

    def join(self, app: str) -> Join | None:
        """How that app's process enters its network; None for an app that has none."""
        if self.plan.app(app) is None:
            return None
        _answer, descriptors = self._ask({"op": "namespace", "app": app})
        return Join(descriptors[0], descriptors[1] if len(descriptors) > 1 else None)

    def attach(self, app: str) -> socket.socket:
        """A new connection to the keeper for ethernet or tunnel.

        Raises:
            KosError: the network could not be built, or the plan gives that app none.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            self._ask({"op": "attach", "app": app}, [ours.fileno()])
        return theirs

    def counters(self) -> dict[str, dict[str, list[int]]]:
        """App → reason (`kos.device.network.rules.REASONS`) → packets and bytes."""
        answer, _ = self._ask({"op": "counters"}, timeout=ANSWER_TIMEOUT)
        counters: dict[str, dict[str, list[int]]] = answer["counters"]
        return counters

    def close(self) -> None:
        """End the keeper and with it the network."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ANSWER_TIMEOUT)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _ask(
        self, request: dict[str, Any], descriptors: list[int] | None = None, timeout: float = START_TIMEOUT
    ) -> tuple[dict[str, Any], list[int]]:
        self._control.settimeout(timeout)
        try:
            if not self.built:
                self._answer(None)  # to the plan
                self.built = True
            self._number += 1
            numbered = {**request, "number": self._number}
            socket.send_fds(self._control, [json.dumps(numbered).encode()], descriptors or [])
            return self._answer(self._number)
        except OSError as error:
            raise KosError(f"the keeper of the network does not answer: {error}") from None

    def _answer(self, number: int | None) -> tuple[dict[str, Any], list[int]]:
        """The answer to that question.

        One to an earlier question, which nobody waits for any more, is dropped: it may hold another app's
        network.
        """
        while True:
            packet, given, _, _ = socket.recv_fds(self._control, wire.PACKET_MAX, wire.DESCRIPTORS_MAX)
            if not packet:
                raise KosError("the keeper of the network has ended")
            answer = json.loads(packet)
            if answer.get("number") == number:
                break
            for descriptor in given:
                os.close(descriptor)
        if not answer["ok"]:
            raise KosError(f"the network: {answer['error']}")
        for descriptor in given:
            os.set_inheritable(descriptor, False)
        return answer, given
