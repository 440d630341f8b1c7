"""The command line, `kos-tool`. One file a command in `commands/`; nothing else of KOS imports this package.

It turns arguments into calls of the other packages and results into text. Logic that anything else could want
does not belong here. Only here does the program exit.
"""
