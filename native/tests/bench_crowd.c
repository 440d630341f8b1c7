/*
 * One of a crowd that calls `echo` together: `bench_crowd SIZE SECONDS`. Prints "connected", waits for a line, calls for
 * that long, and prints how many calls it made and how long the longest took, in nanoseconds.
 */
#include <kos.h>

#include "bench.h"

#define TOKEN 5

int main(int argc, char *argv[])
{
    kos_assert_eq(argc, 3, "bench_crowd SIZE SECONDS");
    uint16_t size = (uint16_t)atoi(argv[1]);
    uint64_t duration = strtoul(argv[2], NULL, 10) * 1000000000;
    kos_msg_client_t client = {0};
    kos_assert_created(kos_msg_client_create(0, 1, &client), NULL);
    kos_assert_ok(kos_dir_request("echo", TOKEN, KOS_MSG_FLAG_SEND_TOKEN, NULL), NULL);
    puts("connected");
    fflush(stdout);
    getchar();
    uint64_t longest = 0;
    unsigned long long count = 0;
    uint64_t before = now();
    for (const uint64_t end = before + duration; before < end; count++) {
        kos_msg_t msg = kos_msg_new(1, 0, size, 0, 0);
        kos_assert_ok(kos_msg_call(TOKEN, KOS_MSG_FLAG_SEND_PAYLOAD, &msg), NULL);
        uint64_t after = now();
        longest = after - before > longest ? after - before : longest;
        before = after;
    }
    printf("%llu %llu\n", count, (unsigned long long)longest);
    return 0;
}
