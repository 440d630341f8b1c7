"""Real checks of the core apps and of the sandbox at start-up."""
