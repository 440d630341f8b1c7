"""Does every name in a manifest name something? The one check that a field by itself cannot do."""

from __future__ import annotations

from kos.manifest.errors import ManifestError
from kos.manifest.model import Manifest, Port
from kos.manifest.names import RESERVED


def check_references(manifest: Manifest) -> None:
    """Raise `ManifestError` for the first dangling or doubled name."""
    servers: dict[Port, str] = {}
    for name in manifest.apps:
        if name in RESERVED or name in manifest.msg_servers:
            raise ManifestError(
                f"manifest.apps.{name}: this name is taken by the platform or a message server"
            )
    for app, port, access in manifest.grants():
        path = f"manifest.apps.{app.name}.access.{port.msg_server}"
        if port.msg_server not in manifest.msg_servers:
            raise ManifestError(f"{path}: no such message server")
        if port.name not in manifest.msg_servers[port.msg_server].ports:
            raise ManifestError(f"{path}.{port.name}: no such port on {port.msg_server}")
        if access.role == "server" and servers.setdefault(port, app.name) != app.name:
            raise ManifestError(f"{path}.{port.name}: is served by {servers[port]} already")
    for name in manifest.options.tunnel_ips:
        if name not in manifest.apps:
            raise ManifestError(f"manifest.options.tunnel_ips.{name}: no such app")
