"""A Linux guest beside the core apps: two disks, a console, and an app that speaks with it."""

from kos.manifest import App, Context, PythonImage, Restart, System
from kos.systems import Disk, MicroVM, Poukai

guest = MicroVM(
    "guest",
    initrd="guest",
    ram="64M",
    blk=["disks/letter.img", Disk("data.img", size="4M", blank=True)],
    ready="guest: ready",
    shutdown="poweroff\n",
    restart=Restart("always", backoff_initial=0.1),
)


class VmmExample(System):
    base = Poukai
    release = "0.1.0"

    def setup(self, ctx: Context) -> Context:
        return (
            ctx.put_app(guest)
            .put_app(App("visitor", PythonImage("apps/visitor"), priority=80))
            .connect_protocol("visitor", guest.port)
        )
