"""The log of all apps: ports `kos_log_protocol` to write and `kos_log_admin_protocol` to read back."""
