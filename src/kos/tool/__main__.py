"""`python -m kos.tool`; it must hold nothing of its own."""

from kos.tool.main import main

main()
