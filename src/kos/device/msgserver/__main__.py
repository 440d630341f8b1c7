"""Start one message server: `python -m kos.device.msgserver NAME`, as the supervisor does.

Descriptor 3 is the admin connection; `KOS_PORTS` lists the ports of this message server, comma-separated.
"""

import os
import resource
import socket

from kos.device.msgserver.server import MessageServer

ADMIN_DESCRIPTOR = 3


def main() -> None:
    # A mailbox costs a descriptor on Python before 3.13, and two more until both ends have fetched it.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ports = frozenset(filter(None, os.environ.get("KOS_PORTS", "").split(",")))
    MessageServer(socket.socket(fileno=ADMIN_DESCRIPTOR), ports).run()


if __name__ == "__main__":
    main()
