"""Process 1 of a device: mounts, picks a generation, runs the supervisor, feeds the watchdog, takes
upgrades.
"""
