/*
 * kos-launch: the last step before an app, and process 1 of its sandbox.
 *
 * Started by bubblewrap when namespaces and mounts are ready. It gives up every privilege, starts the app under
 * its system-call filter and then stays as the sandbox's small init: it reaps, passes signals on and reports the
 * app's end. When it exits, the kernel kills whatever the app left behind.
 *
 * It must not continue after any step that failed, must not interpret anything the app wrote, and must keep no
 * descriptor but its status socket once the app runs.
 *
 *   kos-launch --status FD --filter FD [--pass FD]... [--uid N --gid N [--group N]...] [--rlimit NAME=N]...
 *              [--traceable 1] [--joined 1] -- PATH ARG0 [ARG]...
 *
 * The status socket is a SEQPACKET pair with the supervisor. We send "hello", wait for "go", send "filter" with the
 * filter's listener attached, and at last "exit STATUS MAX_RSS_KIB"; or "error STEP: REASON". We take "signal N".
 * The descriptors of --pass become 3, 4, … of the app, in order.
 *
 * --traceable: another process of the app's own user may trace it, where the kernel's Yama would let only a parent.
 * --joined: a debugger beside an app. Its parent has entered the app's namespaces, so that our child is in them and
 * sees no other process than the app's; we are not process 1 there, and 0, 1 and 2 go on to the child as they are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASS_MAX 32       /* descriptors that an app may inherit besides 0, 1 and 2 */
#define GROUP_MAX 16       /* supplementary groups: those of the devices that the manifest grants */
#define PACKET_MAX 256    /* bytes of one packet on the status socket */
#define LAST_CAP_MAX 63   /* the kernel's capability sets are 64 bits wide */
#define FIRST_PASSED 3

#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

static int status_fd = -1;
static int filter_fd = -1;
static int pass_fds[PASS_MAX];
static int pass_count;
static long become_uid = -1;
static long become_gid = -1;
static gid_t groups[GROUP_MAX];
static int group_count;
static int traceable;
static int joined;
static struct sock_filter program[BPF_MAXINSNS];
static struct sock_fprog app_filter = {.filter = program};

/* The one way out when something is wrong: say which step, to the supervisor and, before there is one, to stderr. */
static _Noreturn void fail(const char *step, int error) {
    char text[PACKET_MAX];
    int n = snprintf(text, sizeof(text), "error %s: %s", step, strerror(error));

    if (n > (int)sizeof(text) - 1) {
        n = sizeof(text) - 1;
    }
    if (status_fd < 0 || write(status_fd, text, (size_t)n) < 0) {
        dprintf(STDERR_FILENO, "kos-launch: %s\n", text);
    }
    _exit(126);
}

static void need(int ok, const char *step) {
    if (!ok) {
        fail(step, errno);
    }
}

static long number(const char *text, const char *step) {
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 0) {
        fail(step, EINVAL);
    }
    return value;
}

static int descriptor(const char *text, const char *step) {
    long value = number(text, step);

    if (value > INT_MAX || fcntl((int)value, F_GETFD) < 0) {
        fail(step, EBADF);
    }
    return (int)value;
}

/* Remembered on the command line, applied just before privileges go: a limit on descriptors must not stop us. */
static struct {
    const char *name;
    int resource;
    int given;
    rlim_t value;
} limits[] = {
    {"as", RLIMIT_AS, 0, 0},         {"core", RLIMIT_CORE, 0, 0},     {"cpu", RLIMIT_CPU, 0, 0},
    {"data", RLIMIT_DATA, 0, 0},     {"fsize", RLIMIT_FSIZE, 0, 0},   {"memlock", RLIMIT_MEMLOCK, 0, 0},
    {"msgqueue", RLIMIT_MSGQUEUE, 0, 0}, {"nice", RLIMIT_NICE, 0, 0}, {"nofile", RLIMIT_NOFILE, 0, 0},
    {"nproc", RLIMIT_NPROC, 0, 0},   {"rtprio", RLIMIT_RTPRIO, 0, 0}, {"stack", RLIMIT_STACK, 0, 0},
};

static void remember_limit(const char *text) {
    size_t i;

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        size_t n = strlen(limits[i].name);

        if (!strncmp(text, limits[i].name, n) && text[n] == '=') {
            limits[i].value = (rlim_t)number(text + n + 1, "--rlimit");
            limits[i].given = 1;
            return;
        }
    }
    fail("--rlimit: unknown name", EINVAL);
}

static char **parse(int argc, char **argv) {
    int i;

    for (i = 1; i < argc && strcmp(argv[i], "--"); i += 2) {
        const char *option = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (!strcmp(option, "--status")) {
            status_fd = descriptor(value, option);
        } else if (!strcmp(option, "--filter")) {
            filter_fd = descriptor(value, option);
        } else if (!strcmp(option, "--pass")) {
            if (pass_count == PASS_MAX) {
                fail(option, E2BIG);
            }
            pass_fds[pass_count++] = descriptor(value, option);
        } else if (!strcmp(option, "--uid")) {
            become_uid = number(value, option);
        } else if (!strcmp(option, "--gid")) {
            become_gid = number(value, option);
        } else if (!strcmp(option, "--group")) {
            long group = number(value, option);

            if (group == 0 || group_count == GROUP_MAX) {
                fail(option, group ? E2BIG : EINVAL);
            }
            groups[group_count++] = (gid_t)group;
        } else if (!strcmp(option, "--traceable")) {
            traceable = number(value, option) == 1;
        } else if (!strcmp(option, "--joined")) {
            joined = number(value, option) == 1;
        } else if (!strcmp(option, "--rlimit")) {
            remember_limit(value);
        } else {
            fail(option, EINVAL);
        }
    }
    if (status_fd < 0 || filter_fd < 0 || i + 2 >= argc || (become_uid < 0) != (become_gid < 0)) {
        fail("arguments: --status, --filter, PATH and ARG0 are needed; --uid and --gid go together", EINVAL);
    }
    if (become_uid == 0 || become_gid == 0) {
        fail("--uid: an app never runs as root", EINVAL);
    }
    return argv + i + 1;
}

static void read_filter(void) {
    struct stat st;
    ssize_t got;

    need(fstat(filter_fd, &st) == 0, "filter: fstat");
    if (st.st_size <= 0 || st.st_size > (off_t)sizeof(program) || st.st_size % sizeof(program[0])) {
        fail("filter: its size is not that of a program", EINVAL);
    }
    got = pread(filter_fd, program, (size_t)st.st_size, 0);
    if (got != st.st_size) {
        fail("filter: read", got < 0 ? errno : EIO);
    }
    app_filter.len = (unsigned short)((size_t)st.st_size / sizeof(program[0]));
    close(filter_fd);
}

/* Out of the way of the numbers that the app expects. */
static void move_descriptors_up(void) {
    int base = FIRST_PASSED + pass_count;
    int i;

    for (i = 0; i < pass_count; i++) {
        pass_fds[i] = fcntl(pass_fds[i], F_DUPFD_CLOEXEC, base);
        need(pass_fds[i] >= 0, "descriptors");
    }
    i = fcntl(status_fd, F_DUPFD_CLOEXEC, base);
    need(i >= 0, "descriptors");
    status_fd = i;
}

/* The supervisor puts us into our control group between "hello" and "go". */
static void wait_for_go(void) {
    char packet[PACKET_MAX];
    ssize_t n;

    need(write(status_fd, "hello", 5) == 5, "hello");
    do {
        n = read(status_fd, packet, sizeof(packet));
    } while (n < 0 && errno == EINTR);
    if (n != 2 || memcmp(packet, "go", 2)) {
        fail("go", n < 0 ? errno : ECONNRESET);
    }
}

static void drop_privileges(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct none[2] = {{0}};
    size_t i;
    int cap;

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit = {limits[i].value, limits[i].value};

        if (limits[i].given) {
            need(setrlimit(limits[i].resource, &limit) == 0, limits[i].name);
        }
    }
    if (become_uid >= 0) {
        need(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) == 0, "securebits");
    }
    for (cap = 0; cap <= LAST_CAP_MAX; cap++) {
        int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

        if (held < 0) {
            break; /* past the kernel's last capability */
        }
        need(!held || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0, "bounding set");
    }
    if (become_uid >= 0) {
        need(setgroups((size_t)group_count, groups) == 0, "setgroups");
        need(setresgid((gid_t)become_gid, (gid_t)become_gid, (gid_t)become_gid) == 0, "setresgid");
        need(setresuid((uid_t)become_uid, (uid_t)become_uid, (uid_t)become_uid) == 0, "setresuid");
        if (setresuid(0, 0, 0) == 0) {
            fail("setresuid: root could be had back", EPERM);
        }
    }
    need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0, "ambient capabilities");
    need(syscall(SYS_capset, &header, none) == 0, "capset");
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    /* We share a uid with the app: it must not read or write our memory through /proc/1/mem. */
    need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
    need(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "death signal");
}

static void send_listener(int listener) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {{0}};
    struct iovec text = {.iov_base = "filter", .iov_len = 6};
    struct msghdr message = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.space)};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &listener, sizeof(int));
    need(sendmsg(status_fd, &message, MSG_NOSIGNAL) == 6, "filter: send the listener");
}

/* In the child. Once the filter is in, only calls that it allows: sendmsg, write, exit; execve is let through once. */
static _Noreturn void become_app(char **command, const sigset_t *mask) {
    int i, listener;

    need(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "death signal");
    for (i = 0; i < pass_count; i++) {
        need(dup2(pass_fds[i], FIRST_PASSED + i) >= 0, "descriptors");
    }
    need(syscall(__NR_close_range, (unsigned)(FIRST_PASSED + pass_count), ~0U, CLOSE_RANGE_CLOEXEC) == 0,
         "close_range");
    need(sigprocmask(SIG_SETMASK, mask, NULL) == 0, "signal mask");
    if (traceable) {
        need(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0) == 0 || errno == EINVAL, "traceable");
    }
    listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &app_filter);
    need(listener >= 0, "seccomp");
    send_listener(listener);
    execve(command[0], command + 1, environ);
    fail(command[0], errno);
}

#define ALLOW(name) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What an init needs, and nothing else: an app of our own uid must gain nothing by taking us over. */
static void confine_self(void) {
    struct sock_filter own[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(ppoll), ALLOW(read), ALLOW(write), ALLOW(wait4), ALLOW(kill), ALLOW(exit_group), ALLOW(rt_sigreturn),
#ifdef __NR_ppoll_time64
        ALLOW(ppoll_time64),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog filter = {.len = sizeof(own) / sizeof(own[0]), .filter = own};

    need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0, "own filter");
}

static void report_exit(int status, const struct rusage *usage) {
    char text[PACKET_MAX];
    int n = snprintf(text, sizeof(text), "exit %d %ld", status, usage->ru_maxrss);

    /* Where nobody listens any more, nothing is left to do but to end, which takes the sandbox with us. */
    _exit(write(status_fd, text, (size_t)n) == n ? 0 : 1);
}

static _Noreturn void stay_as_init(pid_t app, int signals) {
    struct pollfd waits[] = {{.fd = status_fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

    for (;;) {
        if (ppoll(waits, 2, NULL, NULL) < 0 && errno != EINTR) {
            fail("poll", errno);
        }
        if (waits[0].revents) {
            char packet[PACKET_MAX] = {0};
            ssize_t n = read(status_fd, packet, sizeof(packet) - 1);

            if (n <= 0) {
                _exit(1); /* the supervisor is gone */
            }
            if (!strncmp(packet, "signal ", 7)) {
                kill(app, (int)strtol(packet + 7, NULL, 10));
            }
        }
        if (waits[1].revents) {
            struct signalfd_siginfo info;
            struct rusage usage;
            int status;
            pid_t pid;

            if (read(signals, &info, sizeof(info)) < 0) {
                fail("signalfd", errno);
            }
            while ((pid = (pid_t)syscall(SYS_wait4, -1, &status, WNOHANG, &usage)) > 0) {
                if (pid == app) {
                    report_exit(status, &usage);
                }
            }
        }
    }
}

int main(int argc, char **argv) {
    char **command = parse(argc, argv);
    sigset_t children, before;
    int signals;
    pid_t app;

    if (getpid() != 1 && !joined) {
        fail("not process 1 of a process namespace", EPERM);
    }
    read_filter();
    move_descriptors_up();
    wait_for_go();
    drop_privileges();
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    need(sigprocmask(SIG_BLOCK, &children, &before) == 0, "signal mask");
    app = fork();
    need(app >= 0, "fork");
    if (app == 0) {
        become_app(command, &before);
    }
    /* The app's descriptors must end with the app: keep the status socket alone. */
    need(dup2(status_fd, 0) == 0 && syscall(__NR_close_range, 1U, ~0U, 0) == 0, "close_range");
    status_fd = 0;
    signals = signalfd(-1, &children, SFD_CLOEXEC);
    need(signals >= 0, "signalfd");
    confine_self();
    stay_as_init(app, signals);
}
