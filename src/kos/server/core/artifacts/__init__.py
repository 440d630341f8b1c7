"""Blobs by SHA-256: stored once, verified when they come in, served with ranges."""
