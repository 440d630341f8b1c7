/*
 * One of a crowd that calls `echo` together: `bench_crowd SIZE SECONDS`. Prints "connected", waits for a line, calls for
 * that long, and prints how many calls it made and how long the longest took, in nanoseconds.
 */
#include <kos.h>

#include "bench.h"

#define TOKEN 5

static uint16_t size;

static void call(void)
{
    kos_msg_t msg = kos_msg_new(1, 0, size, 0, 0);
    kos_assert_ok(kos_msg_call(TOKEN, KOS_MSG_FLAG_SEND_PAYLOAD, &msg), NULL);
}

int main(int argc, char *argv[])
{
    kos_assert_eq(argc, 3, "bench_crowd SIZE SECONDS");
    size = (uint16_t)atoi(argv[1]);
    kos_msg_client_t client = {0};
    kos_assert_created(kos_msg_client_create(0, 1, &client), NULL);
    kos_assert_ok(kos_dir_request("echo", TOKEN, KOS_MSG_FLAG_SEND_TOKEN, NULL), NULL);
    puts("connected");
    fflush(stdout);
    getchar();
    print_crowd(strtoul(argv[2], NULL, 10), call);
    return 0;
}
