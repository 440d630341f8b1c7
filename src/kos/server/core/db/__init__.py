"""The data model and its storage. SQLite (WAL) by default, PostgreSQL by one URL."""
