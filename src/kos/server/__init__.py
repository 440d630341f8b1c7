"""Studio Server and Fleet Server: one code base, two products."""
