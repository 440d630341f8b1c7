"""The console: `lines` makes lines of bytes, `log` keeps and spreads them, `parse` reads them back."""
