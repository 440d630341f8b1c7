"""What both products share: database, bus, device sessions, artifacts, access control."""
