"""The named limit of everything that a manifest may hold. Units are in the names or beside the numbers.

Lengths of text are in characters. The JSON Schema and the codec both take their numbers from here.
"""

from kos.abi.message import APP_NAME_MAX, PORT_NAME_MAX
from kos.abi.services import VM_DISKS_MAX as VM_DISKS_MAX

MANIFEST_BYTES_MAX = 8 << 20
JSON_DEPTH_MAX = 32  # nesting of objects and arrays
WHOLE_MAX = (1 << 53) - 1  # the largest number that every JSON reader keeps exact (RFC 8785, 3.2.2.3)

NAME_MAX = APP_NAME_MAX  # of apps, systems and message servers
PORT_MAX = PORT_NAME_MAX
RELEASE_MAX = 64
PLATFORM_MAX = 128
WHERE_MAX = 512
PATH_MAX = 1024
ENTRY_MAX = 256

APPS_MAX = 1024
MSG_SERVERS_MAX = 16
PORTS_PER_SERVER_MAX = 4096
GRANTS_PER_APP_MAX = 1024  # on one message server

ARGUMENTS_MAX = 64
ARGUMENT_MAX = 4096
ENVIRON_MAX = 64  # entries
ENVIRON_KEY_MAX = 64
ENVIRON_VALUE_MAX = 4096
RESOURCES_MAX = 64
GPIO_LINES_MAX = 64
GPIO_LINE_MAX = 1023  # the largest line number

CONFIG_KEYS_MAX = 1024  # of one object in an app's `config`
CONFIG_ITEMS_MAX = 4096  # of one list in an app's `config`
CONFIG_KEY_MAX = 128
CONFIG_TEXT_MAX = 16384
CONFIG_DEPTH_MAX = 16

PRIORITY_MAX = 255
MEMORY_MAX = 1 << 40  # bytes
PROCESSES_MAX = 65536
DESCRIPTORS_MAX = 65536
IMAGE_BYTES_MAX = 4 << 30
STORAGE_BYTES_MAX = 1 << 44
ADDRESS_MAX = (1 << 48) - 1  # of physical memory
INTERRUPT_MAX = 1023
SECONDS_MAX = 86400.0
RESTARTS_MAX = 1000
PROTOCOL_VERSION_MAX = 65535
BOOT_ATTEMPTS_MAX = 15

PROJECT_CONFIG_BYTES_MAX = 1 << 20  # of a project's config.toml
PROJECT_SYSTEM_BYTES_MAX = 1 << 20
PROJECT_CONFIG_DEPTH_MAX = 16  # parts of one setting's name
