"""Devices on the server's side: identity, log-in, what they should be, what they say."""
