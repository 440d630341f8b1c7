"""Who holds which part of the machine."""
