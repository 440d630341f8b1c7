/*
 * Measure calls to `echo`: `bench_client SIZE CALLS PAUSE`. Prints p50, p99 and mean of the round trip in nanoseconds.
 * PAUSE microseconds of sleep between calls make both ends cold.
 */
#include <kos.h>

#include "bench.h"

#define TOKEN 5

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
    print_times(times, calls, now() - begin);
    return 0;
}
