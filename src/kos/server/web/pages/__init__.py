"""One page a file; each is a GET that renders."""

from kos.server.web.pages import access, data, device, devices, notifications, releases, rollouts, studio

PAGES = tuple(
    module.router for module in (devices, device, releases, rollouts, data, notifications, access, studio)
)
