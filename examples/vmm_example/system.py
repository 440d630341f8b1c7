"""A Linux guest beside the core apps: five disks, a network behind the tunnel, a console, and a visitor."""

from kos.manifest import App, Context, PythonImage, Restart, System, TunnelIp
from kos.systems import Disk, MicroVM, Poukai

GATEWAY, WEB = "10.90.0.1", 80

guest = MicroVM(
    "guest",
    initrd="guest",
    ram="64M",
    cmdline=f"quiet guest.mount=vde guest.server={GATEWAY}:{WEB}",
    blk=[
        "disks/letter.img",
        "disks/map.img",
        Disk("data.img", size="4M", blank=True, snapshots=True),
        Disk("journal.img", size="1M", blank=True),
        Disk("files.img", size="8M", blank=True),
    ],
    net=True,
    ready="guest: ready",
    shutdown="poweroff\n",
    restart=Restart("always", backoff_initial=0.1),
)


class VmmExample(System):
    # The guest may reach the server's pages through the tunnel, and nothing else.
    base = Poukai(tunnel=True, tunnel_config={"allow": {"guest": [f"tcp {GATEWAY} {WEB}"]}})
    release = "0.1.0"

    def setup(self, ctx: Context) -> Context:
        return (
            ctx.put_app(guest)
            .put_app(App("visitor", PythonImage("apps/visitor"), priority=80))
            .connect_protocol("visitor", guest.port)
            .set_kos_options(
                persistent_boot=True,
                tunnel_ips={"guest": TunnelIp("10.90.1.2", "255.255.0.0", GATEWAY)},
            )
        )
