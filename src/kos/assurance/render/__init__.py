"""Reports for people and for programs. Each module has one function, `render(report) -> str`."""
