/* The ring of trace records by itself: order, overwriting, lost records, and words that a hostile app wrote. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kos.h>

#include "mailbox.h"
#include "trace.h"

#define ENTRIES KOS_TRACE_ENTRIES
#define SIZE KOS_TRACE_RECORD_SIZE
#define RING_SIZE (KOS_TRACE_HEADER_SIZE + ENTRIES * SIZE)

static uint8_t *memory;
static uint8_t copied[ENTRIES * SIZE];

static shared_word *word(unsigned offset)
{
    return (shared_word *)(void *)(memory + offset);
}

/* What an app does, without an app: a record whose label is its number. */
static void write_one(uint32_t number)
{
    uint64_t label = number;
    memcpy(memory + KOS_TRACE_HEADER_SIZE + (number % ENTRIES) * SIZE + 8, &label, sizeof label);
    publish_word(word(KOS_TRACE_RING_HEAD), number + 1);
}

static uint64_t label_of(unsigned place)
{
    uint64_t label;
    memcpy(&label, copied + place * SIZE + 8, sizeof label);
    return label;
}

static void in_order_and_over_the_end(void)
{
    uint32_t cursor = 0;
    uint32_t first;
    for (uint32_t number = 0; number < 5 * ENTRIES; number++) {
        write_one(number);
        if (number % 700 == 699) {
            uint32_t count = kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first);
            kos_assert_eq(count, 700, NULL);
            kos_assert_eq(first, number - 699, NULL);
            kos_assert_eq(label_of(0), first, NULL);
            kos_assert_eq(label_of(699), number, NULL);
        }
    }
}

static void what_was_overwritten_is_lost_and_the_rest_is_whole(void)
{
    uint32_t cursor = 0;
    uint32_t first;
    for (uint32_t number = 0; number < 3 * ENTRIES; number++) {
        write_one(number);
    }
    uint32_t count = kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first);
    kos_assert_eq(count, ENTRIES - 1, "the oldest place is the next to be written");
    kos_assert_eq(first, 2 * ENTRIES + 1, NULL);
    kos_assert_eq(label_of(0), first, NULL);
    kos_assert_eq(kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first), 0, NULL);
}

static void a_small_room_is_filled_and_the_rest_comes_next(void)
{
    uint32_t cursor = 0;
    uint32_t first;
    for (uint32_t number = 0; number < 10; number++) {
        write_one(number);
    }
    kos_assert_eq(kos_trace_read(memory, SIZE, &cursor, copied, 7 * SIZE + 5, &first), 7, NULL);
    kos_assert_eq(kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first), 3, NULL);
    kos_assert_eq(first, 7, NULL);
}

static void numbers_wrap(void)
{
    uint32_t begin = UINT32_MAX - 4;
    uint32_t cursor = begin;
    uint32_t first;
    for (uint32_t i = 0; i < 10; i++) {
        write_one(begin + i);
    }
    kos_assert_eq(kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first), 10, NULL);
    kos_assert_eq(first, begin, NULL);
    kos_assert_eq(cursor, 5, NULL);
}

static void a_hostile_head_costs_one_ring_at_most(void)
{
    uint32_t cursor = 17;
    uint32_t first;
    const uint32_t heads[] = {UINT32_MAX, 0, 16, 18, 1u << 31, 0xdeadbeef};
    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
        publish_word(word(KOS_TRACE_RING_HEAD), heads[i]);
        uint32_t count = kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first);
        kos_assert(count < ENTRIES, NULL);
        kos_assert_eq(cursor, heads[i], NULL);
    }
}

#define WRITTEN 400000u

static void *write_many(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < WRITTEN; i++) {
        kos_trace_mark(i, ~(kos_word_t)i);
    }
    return NULL;
}

/* Two threads of one app write, the reader reads: no record is torn, none is read twice, all are accounted for. */
static void threads_and_a_reader_at_once(void)
{
    trace_use(memory, SIZE);
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, write_many, NULL);
    }
    uint32_t cursor = 0;
    uint32_t seen = 0;
    uint32_t head = 0;
    uint32_t dropped = 0;
    while (head + dropped != 2 * WRITTEN || cursor != head) {
        uint32_t first;
        uint32_t before = cursor;
        uint32_t count = kos_trace_read(memory, SIZE, &cursor, copied, sizeof copied, &first);
        kos_assert(first - before < 1u << 31, "the reader goes forwards");
        for (unsigned i = 0; i < count; i++) {
            uint64_t param;
            memcpy(&param, copied + i * SIZE + 16, sizeof param);
            kos_assert_eq((kos_word_t)param, ~(kos_word_t)label_of(i), "a torn record");
        }
        seen += count;
        kos_trace_counts(memory, &head, &dropped);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    kos_assert(seen > 0 && seen <= head, NULL);
}

static void run(void (*test)(void))
{
    memset(memory, 0, RING_SIZE);
    memset(copied, 0, sizeof copied);
    test();
}

int main(void)
{
    memory = aligned_alloc(4096, (RING_SIZE + 4095) / 4096 * 4096);
    kos_assert(memory != NULL, NULL);
    kos_trace_mark(1, 2); /* nobody traces us: nothing happens */
    run(in_order_and_over_the_end);
    run(what_was_overwritten_is_lost_and_the_rest_is_whole);
    run(a_small_room_is_filled_and_the_rest_comes_next);
    run(numbers_wrap);
    run(a_hostile_head_costs_one_ring_at_most);
    run(threads_and_a_reader_at_once);
    puts("ok");
    return 0;
}
