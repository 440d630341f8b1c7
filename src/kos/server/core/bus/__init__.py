"""The bus: NATS started and supervised by us (or a cluster that runs already), log-in, subjects, streams."""
