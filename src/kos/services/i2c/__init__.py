"""An I2C bus shared by apps, each confined to its own addresses: port `kos_<bus>_protocol`."""
