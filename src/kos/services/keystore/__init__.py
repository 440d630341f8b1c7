"""The device's private keys, used without being seen: port `kos_key_store_protocol`."""
