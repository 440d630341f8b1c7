"""Upgrades: what a device refuses, what it stores, when it falls back. One engine for every channel and
server.
"""
