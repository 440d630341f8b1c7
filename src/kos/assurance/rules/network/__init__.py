"""Who reaches the network, how, and what else they reach."""
