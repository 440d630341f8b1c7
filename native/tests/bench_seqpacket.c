/*
 * The peer to compare with: the same round trip over a SEQPACKET socket, with blocking calls on both ends.
 * `bench_seqpacket SIZE CALLS PAUSE SERVER_CPU CLIENT_CPU` (-1: anywhere); prints as bench_client does.
 */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET((size_t)cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
}

static void serve(int fd)
{
    static char bytes[4096];
    ssize_t size;
    while ((size = recv(fd, bytes, sizeof bytes, 0)) > 0 && send(fd, bytes, (size_t)size, 0) == size) {
    }
    _exit(0);
}

static void call(int fd, char *bytes, size_t size)
{
    if (send(fd, bytes, size, 0) != (ssize_t)size || recv(fd, bytes, size, 0) != (ssize_t)size) {
        _exit(1);
    }
}

int main(int argc, char *argv[])
{
    static char bytes[4096];
    int fds[2];
    if (argc != 6 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0) {
        return 1;
    }
    size_t size = strtoul(argv[1], NULL, 10);
    size_t calls = strtoul(argv[2], NULL, 10);
    long pause = strtol(argv[3], NULL, 10);
    uint64_t *times = calloc(calls, sizeof *times);
    if (times == NULL || size > sizeof bytes) {
        return 1;
    }
    if (fork() == 0) {
        close(fds[1]);
        pin(atoi(argv[4]));
        serve(fds[0]);
    }
    close(fds[0]);
    pin(atoi(argv[5]));
    for (size_t i = 0; i < calls / 10; i++) {
        call(fds[1], bytes, size);
    }
    uint64_t begin = now();
    for (size_t i = 0; i < calls; i++) {
        uint64_t start = now();
        call(fds[1], bytes, size);
        times[i] = now() - start;
        if (pause > 0) {
            const struct timespec sleep = {.tv_nsec = pause * 1000};
            nanosleep(&sleep, NULL);
        }
    }
    uint64_t all = now() - begin;
    qsort(times, calls, sizeof *times, compare);
    printf("%llu %llu %llu\n", (unsigned long long)times[calls / 2], (unsigned long long)times[calls * 99 / 100],
           (unsigned long long)(all / calls));
    return 0;
}
