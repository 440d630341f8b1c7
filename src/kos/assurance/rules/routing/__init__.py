"""Who may speak to whom."""
