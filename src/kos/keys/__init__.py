"""Key pairs of devices and of those who sign releases.

A private key is written once, to a file that only its owner may read. Nothing here prints one, puts one into
an error, or hands one to anything but the signature that it makes.
"""
