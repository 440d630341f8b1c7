/* Writing this app's ring, see trace.h; reading others', see kos/trace.h. */
#include "trace.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <kos/trace.h>

#include "wait.h"

#define MASK (KOS_TRACE_ENTRIES - 1)
#define TRIES 64 /* looks at whether another thread has finished its record, some microseconds in all */

struct record {
    uint64_t time;
    uint64_t label;
    uint64_t param;
    uint64_t badge;
    uint32_t mailbox;
    uint32_t sequence;
    uint32_t thread;
    uint32_t status;
    uint32_t caller;
    uint32_t server;
    uint16_t size;
    uint8_t kind;
    uint8_t flags;
    uint8_t slot;
    uint8_t cpu;
    uint16_t payload_size;
};
_Static_assert(sizeof(struct record) == KOS_TRACE_RECORD_SIZE, "a record has the ABI's size");

struct trace_ring {
    shared_word magic;
    shared_word version;
    shared_word record_size;
    uint8_t pad_server[52];
    shared_word head;
    shared_word dropped;
    uint8_t pad_header[KOS_TRACE_HEADER_SIZE - 72];
    uint8_t records[];
};
KOS_AT(struct trace_ring, record_size, KOS_TRACE_RING_RECORD_SIZE);
KOS_AT(struct trace_ring, head, KOS_TRACE_RING_HEAD);
KOS_AT(struct trace_ring, dropped, KOS_TRACE_RING_DROPPED);
KOS_AT(struct trace_ring, records, KOS_TRACE_HEADER_SIZE);
_Static_assert((KOS_TRACE_ENTRIES & MASK) == 0, "numbers of records may wrap");

_Atomic(struct trace_ring *) trace_ring;
static uint32_t own_record_size;
static uint32_t own_head; /* guarded by `writing`: the word in the ring is for the reader */
static atomic_flag writing = ATOMIC_FLAG_INIT;
static _Thread_local uint32_t own_thread;

uint32_t trace_hash(const char *name, size_t size)
{
    uint32_t hash = 0x811c9dc5u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 0x01000193u;
    }
    return hash;
}

void trace_use(void *memory, uint32_t record_size)
{
    own_record_size = record_size;
    /* SAFETY: made by our message server with room for records of that size, and sealed against resizing. */
    atomic_store(&trace_ring, (struct trace_ring *)memory);
}

void trace_open(struct connection *connection, uint64_t record_size)
{
    if (atomic_load(&trace_ring) != NULL ||
        (record_size != KOS_TRACE_RECORD_SIZE && record_size != KOS_TRACE_RECORD_SIZE_PAYLOADS)) {
        return;
    }
    const struct question question = {.op = KOS_OP_TRACE_RING};
    struct answer answer = {0};
    if (control_ask(connection, &question, &answer) == STATUS_CREATED && answer.fds[0] >= 0) {
        size_t size = KOS_TRACE_HEADER_SIZE + KOS_TRACE_ENTRIES * (size_t)record_size;
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, answer.fds[0], 0);
        if (memory != MAP_FAILED) {
            trace_use(memory, (uint32_t)record_size);
        }
    }
    control_close_fds(&answer);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static bool begin_writing(void)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        if (!atomic_flag_test_and_set_explicit(&writing, memory_order_acquire)) {
            return true;
        }
        wait_pause();
    }
    return false;
}

void trace_write(const struct trace_event *event)
{
    struct trace_ring *ring = atomic_load_explicit(&trace_ring, memory_order_acquire);
    if (own_thread == 0) {
        own_thread = (uint32_t)syscall(SYS_gettid);
    }
    if (!begin_writing()) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return;
    }
    /* The head before this record must be seen before this record is: the reader tells by it what is overwritten. */
    atomic_thread_fence(memory_order_release);
    uint8_t *place = ring->records + (size_t)(own_head & MASK) * own_record_size;
    /* SAFETY: inside the ring, and aligned: a record's size is a multiple of 64 and the header is a page. */
    struct record *record = (struct record *)(void *)place;
    record->time = now();
    record->label = event->label;
    record->param = event->param;
    record->badge = event->badge;
    record->mailbox = (uint32_t)event->mailbox;
    record->sequence = event->sequence;
    record->thread = own_thread;
    record->status = event->status;
    record->caller = (uint32_t)event->caller;
    record->server = event->connection != NULL ? event->connection->name_hash : 0;
    record->size = (uint16_t)event->size;
    record->kind = event->kind;
    record->flags = event->flags;
    record->slot = (uint8_t)event->slot;
    record->cpu = (uint8_t)wait_cpu();
    record->payload_size = 0;
    if (own_record_size > KOS_TRACE_RECORD_SIZE && event->payload != NULL) {
        uint32_t size = event->size < KOS_TRACE_PAYLOAD_SIZE ? event->size : KOS_TRACE_PAYLOAD_SIZE;
        memcpy(place + KOS_TRACE_RECORD_SIZE, event->payload, size);
        record->payload_size = (uint16_t)size;
    }
    publish_word(&ring->head, ++own_head);
    atomic_flag_clear_explicit(&writing, memory_order_release);
}

void kos_trace_mark(kos_word_t label, kos_word_t param)
{
    TRACE(.kind = KOS_TRACE_KIND_MARK, .label = label, .param = param);
}

/* --- for the trace server ------------------------------------------------------------------------------------- */

kos_status_t kos_trace_next(uint32_t after, kos_trace_ring_t *ring)
{
    struct connection *connection = NULL;
    kos_status_t status = connection_for_port(KOS_PORT_TRACE, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    memset(ring, 0, sizeof *ring);
    const struct question question = {.op = KOS_OP_TRACE_NEXT, .a = {after}};
    struct answer answer = {.data = ring->app, .data_room = KOS_ABI_APP_NAME_MAX};
    status = control_ask(connection, &question, &answer);
    if (status == STATUS_OK) {
        ring->number = (uint32_t)answer.r[0];
        ring->caller_id = answer.r[1];
        ring->record_size = (uint32_t)answer.r[2];
        ring->size = answer.r[3];
        ring->fd = answer.fds[0];
        answer.fds[0] = -1;
    }
    control_close_fds(&answer);
    return status;
}

kos_status_t kos_trace_peers(uint32_t after, void *data, size_t *size)
{
    struct connection *connection = NULL;
    kos_status_t status = connection_for_port(KOS_PORT_TRACE, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    const struct question question = {.op = KOS_OP_TRACE_PEERS, .a = {after}};
    struct answer answer = {.data = data, .data_room = KOS_MSG_PAYLOAD_MAX_SIZE};
    status = control_ask(connection, &question, &answer);
    *size = answer.data_size;
    control_close_fds(&answer);
    return status;
}

void kos_trace_counts(const void *memory, uint32_t *head, uint32_t *dropped)
{
    /* SAFETY: a ring of the message server's making, at least as large as its header. */
    const struct trace_ring *ring = memory;
    *head = read_word(&ring->head);
    *dropped = read_word(&ring->dropped);
}

uint32_t kos_trace_read(const void *memory, uint32_t record_size, uint32_t *cursor, void *buffer, size_t room,
                        uint32_t *first)
{
    /* SAFETY: as above, with KOS_TRACE_ENTRIES records of `record_size` bytes behind it. */
    const struct trace_ring *ring = memory;
    uint32_t head = read_word(&ring->head);
    /* The oldest place is the one that is written next: never read that one. */
    *first = head - *cursor < KOS_TRACE_ENTRIES ? *cursor : head - MASK;
    uint32_t count = head - *first;
    if (count > room / record_size) {
        count = (uint32_t)(room / record_size);
    }
    uint32_t at = *first & MASK;
    uint32_t until_end = count < KOS_TRACE_ENTRIES - at ? count : KOS_TRACE_ENTRIES - at;
    memcpy(buffer, ring->records + (size_t)at * record_size, (size_t)until_end * record_size);
    memcpy((uint8_t *)buffer + (size_t)until_end * record_size, ring->records,
           (size_t)(count - until_end) * record_size);
    *cursor = *first + count;
    /* What the app began to overwrite while we copied is no record any more. */
    atomic_thread_fence(memory_order_acquire);
    uint32_t behind = read_word(&ring->head) - *first;
    if (behind >= KOS_TRACE_ENTRIES) {
        uint32_t torn = behind - MASK < count ? behind - MASK : count;
        memmove(buffer, (uint8_t *)buffer + (size_t)torn * record_size, (size_t)(count - torn) * record_size);
        *first += torn;
        count -= torn;
    }
    return count;
}
