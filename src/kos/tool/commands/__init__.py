"""One file a command, loaded when it is used. A command's file is its name with each "." written as "__".

Each defines `command`, a click command. The first line of its docstring is what `kos-tool --help` says, and
`SECTION` is where: one of the sections in `kos.tool.main`. Both are read without loading the file.
"""
