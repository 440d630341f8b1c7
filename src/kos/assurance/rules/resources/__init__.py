"""Memory, storage and the processor: whether there is enough, and whether anyone can take it all."""
