"""What helps a developer, and an attacker, in a system that is released."""
