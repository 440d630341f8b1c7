"""From a system project to a `manifest.zip`: toolchain, app images, the archive.

Equal inputs give equal bytes, on any machine and any day. Nothing here runs a system, talks to a device or
asks the user anything.
"""
