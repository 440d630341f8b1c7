/*
 * Measure calls to `echo`: `bench_client SIZE CALLS PAUSE`. Prints p50, p99 and mean of the round trip in nanoseconds.
 * PAUSE microseconds of sleep between calls make both ends cold.
 */
#include <time.h>

#include <kos.h>

#define TOKEN 5

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void call(unsigned size)
{
    kos_msg_t msg = kos_msg_new(1, 0, (uint16_t)size, 0, 0);
    kos_assert_ok(kos_msg_call(TOKEN, KOS_MSG_FLAG_SEND_PAYLOAD, &msg), NULL);
    kos_assert_eq(kos_msg_payload_size(msg.metadata), size, NULL);
}

int main(int argc, char *argv[])
{
    kos_assert_eq(argc, 4, "bench_client SIZE CALLS PAUSE");
    unsigned size = (unsigned)atoi(argv[1]);
    size_t calls = strtoul(argv[2], NULL, 10);
    uint64_t pause = strtoul(argv[3], NULL, 10);
    uint64_t *times = calloc(calls, sizeof *times);
    kos_msg_client_t client = {0};
    kos_assert_created(kos_msg_client_create(0, 1, &client), NULL);
    kos_assert_ok(kos_dir_request("echo", TOKEN, KOS_MSG_FLAG_SEND_TOKEN, NULL), NULL);
    for (unsigned i = 0; i < calls / 10; i++) {
        call(size);
    }
    uint64_t begin = now();
    for (size_t i = 0; i < calls; i++) {
        uint64_t start = now();
        call(size);
        times[i] = now() - start;
        if (pause > 0) {
            kos_delay(pause);
        }
    }
    uint64_t all = now() - begin;
    qsort(times, calls, sizeof *times, compare);
    kos_printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", times[calls / 2], times[calls * 99 / 100], all / calls);
    return 0;
}
