/*
 * The peer to compare with: the same round trip over SEQPACKET sockets, one server that polls, blocking clients.
 * `bench_seqpacket SIZE CALLS PAUSE SERVER_CPU CLIENT_CPU CLIENTS` (-1: anywhere); each client prints as bench_client.
 * `bench_seqpacket SIZE SECONDS crowd SERVER_CPU CLIENT_CPU CLIENTS`: each calls for that long and prints as bench_crowd.
 */
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define CLIENTS_MAX 16

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET((size_t)cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
}

static void serve(struct pollfd *clients, unsigned count)
{
    static char bytes[4096];
    unsigned left = count;
    while (left > 0 && poll(clients, count, -1) > 0) {
        for (unsigned i = 0; i < count; i++) {
            if (clients[i].revents == 0) {
                continue;
            }
            ssize_t size = recv(clients[i].fd, bytes, sizeof bytes, 0);
            if (size <= 0 || send(clients[i].fd, bytes, (size_t)size, MSG_NOSIGNAL) != size) {
                clients[i].fd = -1;
                left--;
            }
        }
    }
}

static void call(int fd, char *bytes, size_t size)
{
    if (send(fd, bytes, size, 0) != (ssize_t)size || recv(fd, bytes, size, 0) != (ssize_t)size) {
        _exit(1);
    }
}

static int crowd_fd;
static size_t crowd_size;

static void call_in_crowd(void)
{
    static char bytes[4096];
    call(crowd_fd, bytes, crowd_size);
}

static void measure(int fd, size_t size, size_t calls, long pause)
{
    static char bytes[4096];
    uint64_t *times = calloc(calls, sizeof *times);
    if (times == NULL || size > sizeof bytes) {
        _exit(1);
    }
    for (size_t i = 0; i < calls / 10; i++) {
        call(fd, bytes, size);
    }
    uint64_t begin = now();
    for (size_t i = 0; i < calls; i++) {
        uint64_t start = now();
        call(fd, bytes, size);
        times[i] = now() - start;
        if (pause > 0) {
            const struct timespec sleep = {.tv_nsec = pause * 1000};
            nanosleep(&sleep, NULL);
        }
    }
    print_times(times, calls, now() - begin);
    _exit(0);
}

int main(int argc, char *argv[])
{
    struct pollfd clients[CLIENTS_MAX];
    if (argc != 7 || atoi(argv[6]) > CLIENTS_MAX) {
        return 1;
    }
    unsigned count = (unsigned)atoi(argv[6]);
    for (unsigned i = 0; i < count; i++) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
            return 1;
        }
        if (fork() == 0) {
            for (unsigned k = 0; k < i; k++) {
                close(clients[k].fd);
            }
            close(fds[0]);
            pin(atoi(argv[5]));
            if (strcmp(argv[3], "crowd") == 0) {
                crowd_fd = fds[1];
                crowd_size = strtoul(argv[1], NULL, 10);
                print_crowd(strtoul(argv[2], NULL, 10), call_in_crowd);
                _exit(0);
            }
            measure(fds[1], strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
        }
        close(fds[1]);
        clients[i] = (struct pollfd){.fd = fds[0], .events = POLLIN};
    }
    pin(atoi(argv[4]));
    serve(clients, count);
    while (wait(NULL) > 0) {
    }
    return 0;
}
