"""What host tools, the device and the servers must agree on, and nothing else.

Status codes, limits, the layout of shared memory, the control protocol, wire schemas. This package imports
only the standard library, does no I/O and knows nothing of how either side is implemented. The C header
`native/include/kos/abi.h` is generated from it by `kos.abi.c_header`.
"""
