"""Simulated devices, one module each, named as the model. `kos.services.i2c.simulated` imports them by name.

Each says from which data sheet it was written and what of the device it leaves out.
"""
