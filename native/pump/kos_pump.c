/*
 * kos-pump: the data path of the gateway's connections. What one end hears, the other end says.
 *
 * Descriptor 0 is a SEQPACKET socket with the gateway. From there come pairs of connected sockets, each with a
 * number; the number goes back when the pair is over. When that socket ends, so do we, and all connections with us.
 *
 * It is a process of its own because what passes comes from strangers, and because a small request must not cost more
 * than WireGuard does. It must not look at what passes, must not open anything, and its system-call filter holds it to
 * that. What a slow reader costs is bounded: while bytes wait for one end, the other one is not read.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTROL 0
#define PAIRS_MAX 20000          /* kos.server.gateway.relay.CONNECTIONS_MAX: it never sends more */
#define BUFFER 65536             /* bytes that may wait for one end, beside what the kernel holds */
#define FLUSH_TIMEOUT 60000      /* ms without progress after which an end loses what its failed peer left for it */
#define EVENTS 64
#define UNWATCHED UINT32_MAX     /* not even for failure */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "which system calls has this machine? See linux/audit.h"
#endif

struct pair;

struct end {
    int fd;            /* -1: closed */
    uint32_t mask;     /* what epoll watches for */
    char *waiting;     /* for its peer to take; NULL: nothing */
    size_t start, stop;
    int ended;         /* its peer has said all it will */
    int shut;          /* and so have we */
    int orphan;        /* the other end has failed: this one only gets what waits */
    struct end *other;
    struct pair *pair;
};

struct pair {
    struct end ends[2];
    uint32_t number;
    struct pair *next; /* of those that are free, or of those that are over and not yet told of */
};

static struct pair pairs[PAIRS_MAX];
static size_t fresh; /* the first that was never used: memory that nobody needs is not touched */
static struct pair *unused, *over;
static char buffer[BUFFER];
static int epoll_fd;
static int telling; /* the gateway has not yet taken what we told */

/* The one way out: the gateway sees our end and starts another one of us. */
static _Noreturn void fail(const char *step) {
    static const char head[] = "kos-pump: ";

    if (write(STDERR_FILENO, head, sizeof(head) - 1) < 0 || write(STDERR_FILENO, step, strlen(step)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0) {
        _exit(3);
    }
    _exit(2);
}

/* Wait for what this end can do something with now. */
static void watch(struct end *end) {
    struct epoll_event event = {.data.ptr = end};
    int reads = !(end->ended || end->orphan || end->other->waiting);
    uint32_t mask;

    if (end->waiting || reads) {
        mask = (end->waiting ? EPOLLOUT : 0) | (reads ? EPOLLIN : 0);
    } else if (end->ended && !end->shut) {
        mask = 0; /* whether it fails */
    } else {
        mask = UNWATCHED; /* of a peer that hung up epoll would tell again and again while we do not read */
    }
    if (mask == end->mask) {
        return;
    }
    event.events = mask;
    if (epoll_ctl(epoll_fd,
                  end->mask == UNWATCHED ? EPOLL_CTL_ADD
                  : mask == UNWATCHED    ? EPOLL_CTL_DEL
                                         : EPOLL_CTL_MOD,
                  end->fd, &event)) {
        fail("epoll_ctl");
    }
    end->mask = mask;
}

static void let_go(struct end *end) {
    if (end->waiting) {
        munmap(end->waiting, BUFFER);
        end->waiting = NULL;
    }
}

static void close_end(struct end *end) {
    if (end->fd >= 0) {
        close(end->fd); /* with which epoll forgets it */
        end->fd = -1;
    }
    let_go(end);
}

/* The pair is over. It is used again only when that was told, after the round: there may be events of it in it. */
static void drop(struct end *end) {
    close_end(end);
    close_end(end->other);
    end->pair->next = over;
    over = end->pair;
}

/* An end is broken. The other one still gets what waits for it. */
static void broken(struct end *end) {
    struct end *other = end->other;
    unsigned int timeout = FLUSH_TIMEOUT;

    if (end->orphan || !other->waiting) {
        drop(end);
        return;
    }
    close_end(end);
    other->orphan = 1;
    (void)setsockopt(other->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
    watch(other);
}

/* Nothing more will come for this end: say so to its peer, which may go on speaking. */
static void finish(struct end *end) {
    if (end->ended && end->other->shut) {
        drop(end);
        return;
    }
    if (shutdown(end->fd, SHUT_WR)) {
        broken(end);
        return;
    }
    end->shut = 1;
    watch(end);
}

/* Keep what an end did not take. */
static void keep(struct end *end, size_t start, size_t stop) {
    char *place = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (place == MAP_FAILED) {
        drop(end);
        return;
    }
    memcpy(place, buffer + start, stop - start);
    end->waiting = place;
    end->start = 0;
    end->stop = stop - start;
    watch(end->other);
    watch(end);
}

/* Move what an end's peer has said. */
static void take(struct end *end) {
    struct end *other = end->other;
    ssize_t count = recv(end->fd, buffer, BUFFER, 0), sent;

    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            broken(end);
        }
        return;
    }
    if (count == 0) {
        end->ended = 1;
        watch(end);
        if (!other->waiting) {
            finish(other);
        }
        return;
    }
    sent = send(other->fd, buffer, (size_t)count, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            broken(other);
            return;
        }
        sent = 0;
    }
    if (sent < count) {
        keep(other, (size_t)sent, (size_t)count);
    }
}

/* Send on what waits for an end's peer. */
static void flush(struct end *end) {
    ssize_t sent = send(end->fd, end->waiting + end->start, end->stop - end->start, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            broken(end);
        }
        return;
    }
    end->start += (size_t)sent;
    if (end->start < end->stop) {
        return;
    }
    let_go(end);
    if (end->orphan) {
        drop(end);
    } else if (end->other->ended) {
        finish(end);
    } else {
        watch(end);
        watch(end->other);
    }
}

/* A pair from the gateway; 0: there is none. */
static int add(void) {
    union {
        char space[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } room;
    uint32_t number;
    struct iovec part = {&number, sizeof(number)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.space, .msg_controllen = sizeof(room.space)};
    ssize_t size = recvmsg(CONTROL, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *head;
    struct pair *pair = unused ? unused : fresh < PAIRS_MAX ? &pairs[fresh] : NULL;
    int fds[2] = {-1, -1};

    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (size == 0) {
        _exit(0); /* the gateway is gone */
    }
    if (size != sizeof(number) || !pair) {
        fail("what the gateway sent");
    }
    if (unused) {
        unused = pair->next;
    } else {
        fresh++;
    }
    memset(pair, 0, sizeof(*pair));
    pair->number = number;
    head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
    }
    for (int i = 0; i < 2; i++) {
        pair->ends[i] =
            (struct end){.fd = fds[i], .mask = UNWATCHED, .other = &pair->ends[1 - i], .pair = pair};
    }
    if (fds[1] < 0) { /* there was no descriptor free for them */
        drop(&pair->ends[0]);
        return 1;
    }
    watch(&pair->ends[0]);
    watch(&pair->ends[1]);
    return 1;
}

/* Tell the gateway which pairs are over, as many as it takes now. */
static void tell(void) {
    struct epoll_event event = {.data.ptr = NULL};
    int wanted;

    while (over) {
        struct pair *pair = over;

        if (send(CONTROL, &pair->number, sizeof(pair->number), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                break;
            }
            _exit(0);
        }
        over = pair->next;
        pair->next = unused;
        unused = pair;
    }
    wanted = over != NULL;
    if (wanted != telling) {
        event.events = EPOLLIN | (wanted ? EPOLLOUT : 0);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, CONTROL, &event)) {
            fail("epoll_ctl");
        }
        telling = wanted;
    }
}

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* From here on nothing but moving bytes between what it is given. */
static void confine(void) {
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_epoll_wait
        ALLOW(epoll_wait),
#endif
        ALLOW(epoll_pwait), ALLOW(epoll_ctl), ALLOW(recvfrom), ALLOW(sendto),     ALLOW(recvmsg),
        ALLOW(close),       ALLOW(shutdown),  ALLOW(mmap),     ALLOW(munmap),     ALLOW(setsockopt),
        ALLOW(write),       ALLOW(exit),      ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        fail("seccomp");
    }
}

int main(void) {
    struct epoll_event events[EVENTS], control = {.events = EPOLLIN};

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, CONTROL, &control)) {
        fail("epoll");
    }
    confine();
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1), asked = 0;

        if (count < 0 && errno != EINTR) {
            fail("epoll_wait");
        }
        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;

            if (!end) {
                asked = 1;
            } else if (end->fd < 0) {
                continue; /* closed in this very round */
            } else if (events[i].events & EPOLLOUT) {
                flush(end);
            } else if (events[i].events & EPOLLIN) {
                take(end);
            } else {
                broken(end);
            }
        }
        while (asked && add()) {
        }
        tell();
    }
}
