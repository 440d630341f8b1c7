"""Wire formats of the core services: port names, message labels and the limits of what they carry.

A service's label says the operation; `param` and payload are its arguments, little-endian, as each line says.
"""

# --- ports of the reference --------------------------------------------------------------------------------
PORT_LOG = "kos_log_protocol"
PORT_LOG_ADMIN = "kos_log_admin_protocol"  # ours: reading the log back is a grant of its own
PORT_RNG = "kos_rng_protocol"
PORT_KEY_STORE = "kos_key_store_protocol"
PORT_ETHERNET = "kos_ethernet_protocol"
PORT_INTERNET = "kos_internet_protocol"
PORT_MQTT = "kos_mqtt_protocol"  # ours: data out by MQTT
PORT_TRACE = "kos_trace_protocol"
PORT_TRACE_ADMIN = "kos_trace_admin_protocol"

# --- log ---------------------------------------------------------------------------------------------------
# LOG_WRITE: param is the level, payload is UTF-8 text; what is over LOG_TEXT_MAX bytes is cut and marked so.
# The reply is OK, or FULL when this client has used up its rate: the line is dropped and counted.
LOG_WRITE = 1
LOG_LEVEL_DEBUG = 0
LOG_LEVEL_INFO = 1
LOG_LEVEL_WARN = 2
LOG_LEVEL_ERROR = 3
LOG_TEXT_MAX = 1024
# LOG_READ, for clients of PORT_LOG_ADMIN: param is the first sequence number wanted (0: the oldest kept).
# The reply's param is the number to ask for next; its payload is records, oldest first, none if none:
# u64 sequence, u64 milliseconds since 1970, u8 level, u8 size of the app name, u16 size of the text, both.
LOG_READ = 2

# --- rng: label RNG_READ, param is the number of bytes (1 to 4096); the reply's payload is those bytes ------
RNG_READ = 1

# --- key store: payload is the key's name, a NUL, then the operation's data ---------------------------------
# A key or an operation that the configuration does not give this client is NOT_FOUND: it cannot tell which.
# PUBLIC: no data; the reply's payload is the 32-byte public key, its param KEY_STORE_TYPE_… and the mark.
KEY_STORE_PUBLIC = 1
KEY_STORE_SIGN = 2  # data is the message; the reply's payload is the 64-byte Ed25519 signature
KEY_STORE_AGREE = 3  # data is the peer's 32-byte X25519 public key; the reply's payload is the 32-byte secret
KEY_STORE_LIST = 4  # empty payload; the reply's payload is lines of: name, type, operations joined by commas
KEY_STORE_TYPE_ED25519 = 1
KEY_STORE_TYPE_X25519 = 2
KEY_STORE_EPHEMERAL = 0x100  # mark: not provisioned, the key exists until the key store ends
KEY_STORE_NAME_MAX = 32  # bytes of a key's name

# --- i2c: the reply's label is the status, its param the number of bytes done -------------------------------
# An address that the manifest did not grant is UNAUTHORIZED; one that nobody answers at is NOT_FOUND; a
# transaction that broke off on the bus is UNAVAILABLE.
I2C_GET_FEATURES = 1  # reply: param is the feature bits
I2C_WRITE = 2  # param is the 7-bit address, payload the bytes
I2C_READ = 3  # param is the 7-bit address | number of bytes << 16; the reply's payload is the bytes
# TRANSFER: payload is messages of (u16 address, u16 flags, u16 size, bytes if written) in one transaction;
# the reply's payload is all that was read, in order.
I2C_TRANSFER = 4
I2C_TRANSFER_READ = 1  # flag of one message: read
I2C_FEATURE_TRANSFER = 1  # feature bit: I2C_TRANSFER with a repeated start
I2C_MESSAGES_MAX = 42  # as Linux's I2C_RDWR_IOCTL_MAX_MSGS

# --- ethernet: payloads of replies are JSON where it says so ----------------------------------------------
ETHERNET_STATUS = 1  # reply: JSON of interface, link, mac, mtu, addresses, gateway, dns, lease, counters
# RESOLVE: payload is a host name; the reply's payload is its addresses, one a line, its param the seconds for
# which they hold. NOT_FOUND when it cannot be resolved.
ETHERNET_RESOLVE = 2
ETHERNET_NAME_MAX = 253  # bytes of a host name

# --- internet: the tunnel, as the app sees it -------------------------------------------------------------
# STATUS reply: JSON of state ("waiting", "resolving", "connecting", "connected"), reason, endpoint,
# public_key, handshake_age in seconds or null, address of the caller with its mask, gateway, dns, mtu.
INTERNET_STATUS = 1
INTERNET_COUNTERS = 2  # reply: JSON of the caller's counters: reason -> [packets, bytes]

# --- mqtt: the relay of data out; an app publishes to 127.0.0.1:1883 in its own network -------------------
MQTT_STATUS = 1  # reply: JSON of connected, reason, waiting, dropped, stored

# --- trace: what a traced app may ask, and what whoever reads the trace may -------------------------------
TRACE_STATUS = 1  # PORT_TRACE; reply: JSON of recorded, dropped of the caller's own ring
# PORT_TRACE_ADMIN. WATCH: from now on frames are kept for this client; the first ones tell all that is so.
TRACE_WATCH = 1
# READ: the next bytes of the frames, which are lines of JSON; the reply's param is how many bytes are left. A
# client that has not read for TRACE_LEASE seconds watches no more and gets UNAVAILABLE.
TRACE_READ = 2
TRACE_STOP = 3
TRACE_LEASE = 10
TRACE_WATCHERS_MAX = 4  # clients that watch at one time

# --- vm: the console of a microVM, on a port of the manifest's choosing -----------------------------------
# READ: param is the position wanted (0 at first); the reply's payload is output from there, or from the
# oldest kept, none when there is nothing new; its param is the position to ask for next, in 32 bits.
VM_CONSOLE_READ = 1
VM_CONSOLE_WRITE = 2  # payload is what is typed; the reply's param is how much was taken, FULL for nothing
VM_STATUS = 3  # reply: JSON of memory, cpu_seconds, resident, disks, net
# SNAPSHOT: payload is a disk's name; the guest stands still while the disk is copied. The reply's param is
# the copy's size in pieces of 4,096 bytes. NOT_FOUND for a disk of which the manifest keeps no copy.
VM_SNAPSHOT = 4
VM_SNAPSHOT_READ = 5  # payload is a disk's name, param a piece's number; the reply's payload is that piece
VM_DISKS_MAX = 5  # virtio-blk devices of a microVM
