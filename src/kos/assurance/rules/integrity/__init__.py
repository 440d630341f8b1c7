"""Whether what runs is what was signed, and whether a bad update can be undone."""
