"""Linux guests: in software emulation on this machine, and inside the emulated device."""
