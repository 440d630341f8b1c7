"""KOS: secure connected devices, built, run and managed from Python.

This package holds no code of its own, so that importing one part never loads another.
"""
