"""Whether the system stays up, and whether somebody is told when it does not."""
