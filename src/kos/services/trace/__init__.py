"""The trace server: ports `kos_trace_protocol` of traced apps and `kos_trace_admin_protocol` to read traces.

`collector` reads rings and makes frames, `watchers` keeps them for clients of the admin port, `link` speaks
with the supervisor. Nothing is read, and nobody woken, while nobody watches.
"""
