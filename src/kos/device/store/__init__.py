"""The device's store: blobs, generations, boot records. Decisions are pure; I/O goes through `filesystem`."""
