"""Wire formats of the core services: port names, message labels and the limits of what they carry.

A service's label says the operation; `param` and payload are its arguments, little-endian, as each line says.
"""

# --- ports of the reference --------------------------------------------------------------------------------
PORT_LOG = "kos_log_protocol"
PORT_RNG = "kos_rng_protocol"
PORT_KEY_STORE = "kos_key_store_protocol"
PORT_ETHERNET = "kos_ethernet_protocol"
PORT_INTERNET = "kos_internet_protocol"
PORT_TRACE = "kos_trace_protocol"
PORT_TRACE_ADMIN = "kos_trace_admin_protocol"

# --- log: label LOG_WRITE, param is the level, payload is UTF-8 text ------------------------------------------
LOG_WRITE = 1
LOG_LEVEL_DEBUG = 0
LOG_LEVEL_INFO = 1
LOG_LEVEL_WARN = 2
LOG_LEVEL_ERROR = 3

# --- rng: label RNG_READ, param is the number of bytes (1 to 4096); the reply's payload is those bytes ---------
RNG_READ = 1

# --- i2c: the reply's label is the status, its param the number of bytes done ---------------------------------
I2C_GET_FEATURES = 1  # reply: param is the feature bits
I2C_WRITE = 2  # param is the 7-bit address, payload the bytes
I2C_READ = 3  # param is the 7-bit address | number of bytes << 16; the reply's payload is the bytes
I2C_TRANSFER = 4  # payload: messages of (u16 address, u16 flags, u16 size, bytes if written) in one transaction
I2C_TRANSFER_READ = 1  # flag of one message: read
I2C_FEATURE_TRANSFER = 1  # feature bit: I2C_TRANSFER with a repeated start
I2C_MESSAGES_MAX = 42  # as Linux's I2C_RDWR_IOCTL_MAX_MSGS
