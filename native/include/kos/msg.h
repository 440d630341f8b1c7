/*
 * Messages, tokens and shared buffers.
 *
 * A thread-local 4,096-byte buffer carries payload out and in, one for the client and one for the server side.
 * All calls may be made from several threads: a token carries one request at a time, further ones wait.
 */
#ifndef KOS_MSG_H
#define KOS_MSG_H

#include <kos/types.h>

KOS_BEGIN_DECLS

typedef struct kos_msg {
    kos_word_t label;
    kos_word_t param;
    kos_word_t metadata;
} kos_msg_t;

/* A message of the bounded queue: label and 56 bytes travel together, no payload and no token. */
typedef struct kos_queue_msg {
    kos_word_t label;
    uint8_t bytes[KOS_ABI_QUEUE_BYTES];
} kos_queue_msg_t;

/* What a thread needs to call, and to serve. The fields are libkos's own; start with `= {0}`. */
typedef struct kos_msg_client {
    kos_cap_t cap;
    kos_token_t receive_slot;
} kos_msg_client_t;

typedef struct kos_msg_server {
    kos_cap_t cap;
    kos_cap_t reply_cap;
    kos_token_t receive_slot;
} kos_msg_server_t;

/* Connect this app to its message servers → STATUS_CREATED. Again is harmless. */
kos_status_t kos_msg_setup(void);

/* A client transport for this thread → STATUS_CREATED. A token that comes with a reply goes into the slot. */
kos_status_t kos_msg_client_create(IN kos_cap_t cap, IN kos_token_t token_slot, OUT kos_msg_client_t *client);

/*
 * A server transport for this thread → STATUS_CREATED. A token that comes with a message goes into the slot;
 * with slot 0 this thread does not agree to receive tokens, and who sends one gets STATUS_UNAUTHORIZED.
 */
kos_status_t kos_msg_server_create(IN kos_cap_t server_cap, IN kos_cap_t reply_cap,
                                   IN kos_token_t receive_token_slot, OUT kos_msg_server_t *server);

/* Build a message. Sizes and slots out of range are cut to their field: the call then refuses them. */
static inline kos_msg_t kos_msg_new(IN kos_word_t label, IN kos_word_t param, IN uint16_t payload_size,
                                    IN kos_token_t transfer_token, IN kos_word_t reserved)
{
    (void)reserved;
    kos_msg_t msg;
    msg.label = label;
    msg.param = param;
    msg.metadata = ((kos_word_t)(payload_size > KOS_ABI_METADATA_SIZE_MASK ? KOS_ABI_METADATA_SIZE_MASK
                                                                         : payload_size)) |
                   ((kos_word_t)(transfer_token & KOS_MSG_TOKEN_SLOT_MASK) << KOS_ABI_METADATA_TOKEN_SHIFT);
    return msg;
}

static inline kos_msg_t kos_msg_new_status(IN kos_status_t status)
{
    return kos_msg_new(status, 0, 0, 0, 0);
}

static inline uint16_t kos_msg_payload_size(IN kos_word_t metadata)
{
    return (uint16_t)(metadata & KOS_ABI_METADATA_SIZE_MASK);
}

static inline kos_token_t kos_msg_transfer_token(IN kos_word_t metadata)
{
    return (kos_token_t)((metadata >> KOS_ABI_METADATA_TOKEN_SHIFT) & KOS_MSG_TOKEN_SLOT_MASK);
}

/* This thread's KOS_MSG_PAYLOAD_MAX_SIZE bytes for payload out and in. */
void *kos_msg_client_payload(void);
void *kos_msg_server_payload(void);

/*
 * Send, wait, `msg` becomes the reply. `reply_flags` say what the reply may carry: a payload or token that they do
 * not allow is dropped. → STATUS_OK once a reply came, whatever its label says.
 */
kos_status_t kos_msg_call(IN kos_token_t token, IN kos_word_t reply_flags, IN_OUT kos_msg_t *msg);

/* Send without a reply. Waits only until the server took the request before this one. */
kos_status_t kos_msg_send(IN kos_token_t token, IN kos_msg_t msg);

/* Into the bounded queue, never waits → STATUS_FULL when there is no room; the drop is counted. */
kos_status_t kos_msg_queue_send(IN kos_token_t token, IN const kos_queue_msg_t *msg);

/* Beside the reference: how many messages were dropped on the way to us by holders of tokens with that badge. */
kos_status_t kos_msg_queue_dropped(IN kos_word_t badge, OUT kos_word_t *dropped);

/*
 * Reply to this thread's last caller with `msg`, then wait for the next message into `msg`. A connection request
 * arrives as a call with the port's request label and badge. When a message server is gone for good, `msg` is
 * STATUS_UNAVAILABLE with badge and caller 0, and that is what the call returns.
 */
kos_status_t kos_msg_reply_receive(IN_OUT kos_msg_t *msg, OUT kos_word_t *badge, OUT kos_word_t *caller_id);

/*
 * Beside the reference: the same, but → STATUS_NO_REPLY when nothing came within that many microseconds. Threads
 * receive in turn: while another one of this app waits, this one waits for it first.
 */
kos_status_t kos_msg_reply_receive_for(IN_OUT kos_msg_t *msg, OUT kos_word_t *badge, OUT kos_word_t *caller_id,
                                       IN uint64_t microseconds);

/* Beside the reference: reply to this thread's last caller without waiting for another; for a loop that ends. */
kos_status_t kos_msg_reply(IN kos_msg_t msg);

/* → STATUS_PONG from the message server (from all of them, when there are several). */
kos_status_t kos_msg_ping(void);

/* --- tokens ------------------------------------------------------------------------------------------------- */

/* A slot that nothing uses; it stays reserved until it is given back. */
kos_status_t kos_msg_token_slot_pool_alloc(OUT kos_token_t *slot);
/* Beside the reference: give a slot back. What it still holds is deleted. */
kos_status_t kos_msg_token_slot_pool_free(IN kos_token_t slot);

kos_status_t kos_msg_token_create(IN kos_word_t badge, IN kos_word_t flags, IN kos_token_t slot);
kos_status_t kos_msg_token_move(IN kos_token_t destination, IN kos_token_t source);
kos_status_t kos_msg_token_delete(IN kos_token_t slot);
kos_status_t kos_msg_token_info(IN kos_token_t slot, OUT kos_word_t *flags);
/* Every token that we created with that badge stops working, wherever it is. */
kos_status_t kos_msg_token_revoke(IN kos_word_t badge);

/* --- beside the reference ------------------------------------------------------------------------------------ */

/*
 * Memory that this app may write and whoever is given the token may read → STATUS_CREATED. `memory` stays mapped,
 * and stays ours to write, when the token moves on; munmap() ends it.
 */
kos_status_t kos_msg_buffer_create(IN size_t size, IN kos_token_t slot, OUT void **memory);
/* Map a buffer that came as a token. Another app may change it at any time: copy, then check. munmap() ends it. */
kos_status_t kos_msg_buffer_map(IN kos_token_t slot, OUT const void **memory, OUT size_t *size);

/* The manifest's name of an app that we serve; `size` is the room, KOS_ABI_APP_NAME_MAX + 1 is always enough. */
kos_status_t kos_msg_app_name(IN kos_word_t caller_id, OUT char *name, IN size_t size);

KOS_END_DECLS

#endif /* KOS_MSG_H */
