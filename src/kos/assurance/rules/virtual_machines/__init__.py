"""Guests, what they share, and whether the platform can hold them."""
