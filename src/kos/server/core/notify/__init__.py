"""Notifications: events become rows of a queue, and one server process brings them to people and programs."""
