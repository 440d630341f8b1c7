"""Run a system on the board from its RAM, sent by U-Boot's fastboot."""

from kos.tool.runners.fastboot import run

__all__ = ["run"]
