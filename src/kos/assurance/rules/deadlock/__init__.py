"""Who may wait for whom, and with what priority."""
