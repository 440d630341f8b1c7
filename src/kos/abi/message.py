"""Messages, tokens and mailboxes: flags, limits and the layout of the memory that two apps share.

A mailbox joins exactly two processes: the *holder* of a token, who sends, and the *owner*, who created the
token and answers. The message server makes it (a memfd sealed against resizing) and hands it to those two.
Each word says who writes it. A reader copies once and then checks: the writer may be hostile.
"""

# --- tokens -----------------------------------------------------------------------------------------------
TOKENS_PER_APP_BITS = 6
TOKENS_PER_APP = 1 << TOKENS_PER_APP_BITS
TOKEN_SLOT_MASK = TOKENS_PER_APP - 1
NULL_SLOT = 0  # slot 0 holds nothing: in a message it means "no token"

FLAG_SEND_PAYLOAD = 1 << 0
FLAG_SEND_TOKEN = 1 << 1
TOKEN_FLAG_SINGLE_USE = 1 << 5  # one message, from the app that its creator gave it to: it is not passed on
TOKEN_FLAGS_MASK = FLAG_SEND_PAYLOAD | FLAG_SEND_TOKEN | TOKEN_FLAG_SINGLE_USE

# --- messages ---------------------------------------------------------------------------------------------
PAYLOAD_MAX_SIZE = 4096
# `kos_msg_t.metadata`: payload size in bits 0..12, transfer token slot in 13..18, marks above.
METADATA_SIZE_BITS = 13
METADATA_SIZE_MASK = (1 << METADATA_SIZE_BITS) - 1
METADATA_TOKEN_SHIFT = METADATA_SIZE_BITS
METADATA_QUEUED = 1 << 19  # this message came through the queue; a reply to it goes nowhere
METADATA_ONE_WAY = 1 << 20  # this message was sent without asking for a reply

QUEUE_LENGTH = 64  # messages a mailbox queues before `queue_send` says FULL and counts a drop
QUEUE_BYTES = 56  # bytes of `kos_queue_msg_t.bytes`

BUFFER_MAX_SIZE = 16 << 20  # bytes of one shared buffer
MAILBOXES_PER_OWNER = 1024  # tokens of one server app that other apps hold at one time
PORT_NAME_MAX = 64  # bytes of a port's name
APP_NAME_MAX = 32  # bytes of an app's name

# --- the mailbox ------------------------------------------------------------------------------------------
MAILBOX_MAGIC = 0x424D4F4B  # "KOMB", little-endian
LAYOUT_VERSION = 1

STATE_OPEN = 1
STATE_UNAVAILABLE = 2  # the other side is gone
STATE_REVOKED = 3  # the token was revoked, deleted or used up

CPU_DO_NOT_SPIN = 0xFFFF_FFFF  # in `owner_cpu`: the holder is to sleep for its answer

REQUEST_CALL = 1
REQUEST_SEND = 2

# name: (offset in bytes, size in bytes, who writes it). One cache line for each writer.
MAILBOX_FIELDS = {
    "magic": (0, 4, "server"),
    "version": (4, 4, "server"),
    "state": (8, 4, "server"),
    # the holder's futex: the owner adds 1 with each reply, the message server when it closes the mailbox
    "holder_event": (12, 4, "owner, server"),
    "request_seq": (64, 4, "holder"),
    "holder_sleeping": (68, 4, "holder"),
    "holder_cpu": (72, 4, "holder"),
    "request_kind": (76, 4, "holder"),
    "request_label": (80, 8, "holder"),
    "request_param": (88, 8, "holder"),
    "request_size": (96, 4, "holder"),
    "request_ticket": (100, 4, "holder"),  # of a transferred token; 0 is none
    "reply_flags": (104, 4, "holder"),
    "reply_seq": (128, 4, "owner"),  # the request_seq that this reply answers
    "owner_sleeping": (132, 4, "owner"),
    "owner_cpu": (136, 4, "owner"),
    "reply_size": (140, 4, "owner"),
    "reply_label": (144, 8, "owner"),
    "reply_param": (152, 8, "owner"),
    "reply_ticket": (160, 4, "owner"),
    "taken_seq": (164, 4, "owner"),  # the last request_seq that the owner copied out
    "queue_head": (192, 4, "holder"),
    "queue_dropped": (196, 4, "holder"),
    "queue_tail": (256, 4, "owner"),
}
MAILBOX_HEADER_SIZE = 4096
MAILBOX_QUEUE_OFFSET = 4096  # QUEUE_LENGTH entries of label (8 bytes) + QUEUE_BYTES
MAILBOX_REQUEST_OFFSET = 8192
MAILBOX_REPLY_OFFSET = 12288
MAILBOX_SIZE = 16384

# --- the app page: one for each app, shared with its message server ----------------------------------------
APP_PAGE_MAGIC = 0x50414F4B  # "KOAP", little-endian
APP_PAGE_FIELDS = {
    "magic": (0, 4, "server"),
    "version": (4, 4, "server"),
    "event_seq": (8, 4, "server"),  # grows when NEXT_EVENT has something new for this app
}
APP_PAGE_SIZE = 4096
