"""Random numbers for apps: port `kos_rng_protocol`."""
