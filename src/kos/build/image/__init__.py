"""Images for devices: root file system, bootfs, disk. Equal inputs give equal bytes; nothing here needs
root.
"""
