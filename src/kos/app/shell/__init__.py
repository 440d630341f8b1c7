"""A live interpreter inside a running app, where the manifest grants one; no other app imports it."""
