"""One page a file; each is a GET that renders."""

from kos.server.web.pages import device, devices

PAGES = (devices.router, device.router)
