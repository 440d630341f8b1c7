"""Studio: what only a developer's own server does."""
