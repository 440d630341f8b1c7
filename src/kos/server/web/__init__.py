"""The pages: rendered here, kept fresh by notices, changed only through the API."""
