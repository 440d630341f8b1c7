"""Fleet: rollouts over many devices."""
