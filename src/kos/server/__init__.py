"""Studio Server and Fleet Server: one code base, two products."""

from importlib.metadata import version

VERSION = version("kos")
