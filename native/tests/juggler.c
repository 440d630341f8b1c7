/*
 * An app that serves a port and, in another thread, uses the ports of others: it calls, sends, queues, gives tokens away
 * and takes them, revokes and deletes, in an order that its seed decides: `juggler SEED OWN-PORT PORT…`.
 *
 * Prints a number for every ROUND steps of the client's thread. SIGUSR1 makes it rest, and go on again. It fails when a
 * message comes through a token that it had revoked, an answer is another's, a token that does not work works again, or a slot that must be free is not.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include <kos.h>

#define REQUEST_BADGE ((kos_word_t)~0)
#define KINDS 8 /* of badges; each revocation begins a new generation of one */
#define ROUND 100
/* Slots: two to receive into, one for the tokens that we make, those of the client's thread, those handed over to it. */
enum { SLOT_CLIENT = 1, SLOT_SERVER, SLOT_NEW, SLOT_OWN = 8, SLOT_HANDED = 32, SLOT_END = 56 };
#define ALL_FLAGS (KOS_MSG_FLAG_SEND_PAYLOAD | KOS_MSG_FLAG_SEND_TOKEN)

static const char *const *ports;
static unsigned port_count;
static kos_word_t generation[KINDS];
static atomic_bool handed[SLOT_END]; /* a slot is the client's while this is set, else the server's */

static bool is_one_of(kos_status_t status, const kos_status_t *allowed)
{
    while (*allowed != 0 && *allowed != status) {
        allowed++;
    }
    return *allowed != 0;
}

#define EXPECT(status, ...) \
    kos_assert(is_one_of(status, (const kos_status_t[]){__VA_ARGS__, 0}), "%s", kos_status_name(status))

/* --- serving ------------------------------------------------------------------------------------------------- */

static unsigned server_seed;

static unsigned roll(unsigned sides)
{
    return (unsigned)rand_r(&server_seed) % sides;
}

/* A fresh token in SLOT_NEW, which must be free: whatever became of the one before, it was given away. */
static kos_token_t fresh(void)
{
    unsigned kind = roll(KINDS);
    kos_word_t flags = ALL_FLAGS | (roll(6) == 0 ? KOS_MSG_TOKEN_FLAG_SINGLE_USE : 0);
    kos_status_t status = kos_msg_token_create(generation[kind] * KINDS + kind, flags, SLOT_NEW);
    EXPECT(status, STATUS_CREATED, STATUS_UNAVAILABLE);
    return status == STATUS_CREATED ? SLOT_NEW : 0;
}

static void hand_over(void)
{
    kos_token_t slot = SLOT_HANDED + roll(SLOT_END - SLOT_HANDED);
    if (atomic_load(&handed[slot]) || kos_msg_token_move(slot, SLOT_SERVER) != STATUS_OK) {
        kos_msg_token_delete(SLOT_SERVER);
    } else {
        atomic_store(&handed[slot], true);
    }
}

static void *serve(void *port)
{
    kos_msg_server_t server = {0};
    kos_msg_t msg = kos_msg_new_status(STATUS_OK);
    kos_assert_created(kos_msg_server_create(0, 0, SLOT_SERVER, &server), NULL);
    kos_assert_ok(kos_dir_bind(port, 1, REQUEST_BADGE, KOS_MSG_FLAG_SEND_PAYLOAD), NULL);
    kos_app_ready();
    for (;;) {
        kos_word_t badge;
        kos_word_t caller;
        kos_status_t status = kos_msg_reply_receive_for(&msg, &badge, &caller, 2000);
        EXPECT(status, STATUS_OK, STATUS_NO_REPLY, STATUS_UNAVAILABLE);
        if (status == STATUS_UNAVAILABLE) {
            kos_stop("the message server is gone");
        }
        if (status == STATUS_OK && badge == REQUEST_BADGE) {
            msg = kos_msg_new(STATUS_OK, 0, 0, fresh(), 0);
        } else if (status == STATUS_OK) {
            kos_assert(badge / KINDS == generation[badge % KINDS], "a message of a token that was revoked");
            if (kos_msg_transfer_token(msg.metadata) != 0) {
                hand_over();
            }
            uint16_t size = kos_msg_payload_size(msg.metadata);
            msg = kos_msg_new(STATUS_OK, msg.param + 1, size, roll(3) == 0 ? fresh() : 0, 0);
        }
        if (roll(status == STATUS_OK ? 40 : 4) == 0) {
            unsigned kind = roll(KINDS);
            EXPECT(kos_msg_token_revoke(generation[kind] * KINDS + kind), STATUS_OK, STATUS_UNAVAILABLE);
            generation[kind]++;
        }
    }
    return NULL;
}

/* --- using others --------------------------------------------------------------------------------------------- */

static unsigned client_seed;

static unsigned pick(unsigned sides)
{
    return (unsigned)rand_r(&client_seed) % sides;
}

/* A slot that is the client's thread's own. */
static kos_token_t pick_slot(void)
{
    kos_token_t slot;
    do {
        slot = SLOT_OWN + pick(SLOT_END - SLOT_OWN);
    } while (slot >= SLOT_HANDED && !atomic_load(&handed[slot]));
    return slot;
}

static void drop(kos_token_t slot)
{
    EXPECT(kos_msg_token_delete(slot), STATUS_OK, STATUS_INVALID_TOKEN, STATUS_UNAVAILABLE);
    if (slot >= SLOT_HANDED) {
        atomic_store(&handed[slot], false);
    }
}

/* A token that was revoked, used up or never there stays so. */
static void check_stays_dead(kos_token_t slot, kos_status_t status)
{
    kos_msg_t again = kos_msg_new(1, 0, 0, 0, 0);
    if (status == STATUS_INVALID_TOKEN) {
        kos_assert_eq(kos_msg_call(slot, 0, &again), STATUS_INVALID_TOKEN, "it was dead");
    }
}

static void call(kos_token_t slot, kos_token_t given, unsigned size)
{
    kos_word_t param = pick(1u << 20);
    kos_word_t flags = KOS_MSG_FLAG_SEND_PAYLOAD | (pick(3) > 0 ? KOS_MSG_FLAG_SEND_TOKEN : 0);
    memset(kos_msg_client_payload(), (int)param, size);
    kos_msg_t msg = kos_msg_new(1, param, (uint16_t)size, given, 0);
    kos_status_t status = kos_msg_call(slot, flags, &msg);
    EXPECT(status, STATUS_OK, STATUS_INVALID_TOKEN, STATUS_UNAVAILABLE, STATUS_UNAUTHORIZED, STATUS_BAD_REQUEST,
           STATUS_AT_TOKEN_LIMIT, STATUS_FULL);
    if (status == STATUS_OK && msg.label == STATUS_OK) {
        const uint8_t *back = kos_msg_client_payload();
        kos_assert_eq(msg.param, param + 1, NULL);
        kos_assert_eq(kos_msg_payload_size(msg.metadata), size, NULL);
        kos_assert(size == 0 || (back[0] == (uint8_t)param && back[size - 1] == (uint8_t)param), "another's");
    }
    if (status == STATUS_OK && kos_msg_transfer_token(msg.metadata) != 0) {
        kos_token_t place = SLOT_OWN + pick(SLOT_HANDED - SLOT_OWN);
        drop(place);
        EXPECT(kos_msg_token_move(place, SLOT_CLIENT), STATUS_OK, STATUS_UNAVAILABLE);
    }
    check_stays_dead(slot, given == 0 ? status : STATUS_OK);
}

static void step(void)
{
    const kos_queue_msg_t queued = {.label = 1};
    kos_token_t slot = pick_slot();
    kos_token_t given = pick(3) == 0 ? pick_slot() : 0;
    unsigned size = pick(2) * pick(KOS_MSG_PAYLOAD_MAX_SIZE + 1);
    unsigned what = pick(100);
    if (what < 12) {
        slot = SLOT_OWN + pick(SLOT_HANDED - SLOT_OWN);
        drop(slot);
        kos_status_t status = kos_dir_request(ports[pick(port_count)], slot, ALL_FLAGS, NULL);
        EXPECT(status, STATUS_OK, STATUS_UNAVAILABLE, STATUS_INTERNAL_ERROR, STATUS_AT_TOKEN_LIMIT, STATUS_FULL);
    } else if (what < 70) {
        call(slot, given, size);
    } else if (what < 80) {
        EXPECT(kos_msg_send(slot, kos_msg_new(1, 0, (uint16_t)size, given, 0)), STATUS_OK, STATUS_INVALID_TOKEN,
               STATUS_UNAVAILABLE, STATUS_UNAUTHORIZED, STATUS_BAD_REQUEST);
    } else if (what < 90) {
        EXPECT(kos_msg_queue_send(slot, &queued), STATUS_OK, STATUS_FULL, STATUS_INVALID_TOKEN, STATUS_UNAVAILABLE,
               STATUS_BAD_REQUEST);
    } else if (what < 96) {
        drop(slot);
    } else {
        void *memory;
        slot = SLOT_OWN + pick(SLOT_HANDED - SLOT_OWN);
        drop(slot);
        kos_status_t status = kos_msg_buffer_create(4096, slot, &memory);
        EXPECT(status, STATUS_CREATED, STATUS_AT_TOKEN_LIMIT, STATUS_UNAVAILABLE);
        if (status == STATUS_CREATED) {
            munmap(memory, 4096);
        }
    }
}

static atomic_bool resting;

static void rest(int signal)
{
    (void)signal;
    atomic_store(&resting, !atomic_load(&resting));
}

/* Keep no token, until it goes on: what is held then is what leaked. */
static void keep_nothing(void)
{
    kos_printf("rests\n");
    while (atomic_load(&resting)) {
        for (kos_token_t slot = SLOT_OWN; slot < SLOT_END; slot++) {
            if (slot < SLOT_HANDED || atomic_load(&handed[slot])) {
                drop(slot);
            }
        }
        drop(SLOT_CLIENT);
        kos_delay(5000);
    }
}

int main(int argc, char *argv[])
{
    pthread_t thread;
    kos_msg_client_t client = {0};
    signal(SIGUSR1, rest);
    kos_assert(argc > 3, "juggler SEED OWN-PORT PORT…");
    client_seed = (unsigned)strtoul(argv[1], NULL, 10);
    server_seed = client_seed + 1;
    ports = (const char *const *)&argv[3];
    port_count = (unsigned)argc - 3;
    kos_assert_created(kos_msg_setup(), NULL);
    kos_assert_created(kos_msg_client_create(0, SLOT_CLIENT, &client), NULL);
    kos_assert_eq(pthread_create(&thread, NULL, serve, argv[2]), 0, NULL);
    for (unsigned long count = 1;; count++) {
        if (atomic_load(&resting)) {
            keep_nothing();
        }
        step();
        if (count % ROUND == 0) {
            kos_printf("%lu\n", count);
        }
    }
}
