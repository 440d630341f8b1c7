"""Which system calls an app may make, as data.

Three outcomes: `ALLOW` rules let a call through, `REFUSE` rules answer a harmless probe of a library with an
error number, and everything else stops the app and is reported by name. This module only says which;
`compiler` turns it into a program. It must not grow a call because an app would like it: a resource in the
manifest is the way.
"""

from __future__ import annotations

import errno

from kos.abi.records import dataclass, field

# Namespaces and tracing that `clone` could ask for. CLONE_NEWTIME shares bits with the exit signal and cannot
# be asked for with clone; clone3, whose flags a filter cannot see, is refused.
CLONE_NAMESPACES = 0x7E020000
CLONE_PTRACE = 0x00002000
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_DGRAM = 1, 2
IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6 = 1, 6, 17, 58
PROT_WRITE_EXEC = 0x6
LOW_32 = 0xFFFFFFFF  # the kernel ignores the upper half of an ioctl's request: compare without it


@dataclass(frozen=True)
class Condition:
    """Argument `index`, masked with `mask`, equals `value`."""

    index: int
    mask: int
    value: int


@dataclass(frozen=True)
class Rule:
    """A system call and the conditions on its arguments that must all hold."""

    name: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What one app may do: calls to allow, calls to refuse with an error number; the rest is a violation."""

    allow: tuple[Rule, ...]
    refuse: dict[str, int] = field(default_factory=dict)
    refuse_if: tuple[tuple[Rule, int], ...] = ()  # beside allowed uses of the same call


def names(text: str) -> tuple[Rule, ...]:
    return tuple(Rule(name) for name in text.split())


def ioctls(*requests: int) -> tuple[Rule, ...]:
    return tuple(Rule("ioctl", (Condition(1, LOW_32, request),)) for request in requests)


def ioctl_type(letter: int) -> Rule:
    """All requests of one driver's type letter (bits 8 to 15 of the request)."""
    return Rule("ioctl", (Condition(1, 0xFF00, letter << 8),))


def prctls(*options: int) -> tuple[Rule, ...]:
    return tuple(Rule("prctl", (Condition(0, LOW_32, option),)) for option in options)


_BASE = (
    # memory, signals, time and scheduling of oneself
    *names("brk munmap mremap madvise membarrier mincore msync"),
    *names("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigtimedwait_time64 rt_sigsuspend"),
    *names("rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack sigreturn kill tgkill tkill pause"),
    *names("futex futex_time64 futex_waitv set_robust_list get_robust_list rseq set_tid_address set_tls"),
    *names("nanosleep clock_nanosleep clock_nanosleep_time64"),
    *names("clock_gettime clock_gettime64 gettimeofday time"),
    *names("clock_getres clock_getres_time64 timer_create timer_settime"),
    *names("timer_delete timer_gettime setitimer alarm"),
    *names("sched_yield sched_getaffinity sched_getparam sched_getscheduler getcpu getpriority"),
    *names("exit exit_group restart_syscall arch_prctl cacheflush arm_fadvise64_64 fadvise64"),
    # who am I
    *names("getpid gettid getppid getuid geteuid getgid"),
    *names("getegid getresuid getresgid getgroups getpgrp getpgid getsid"),
    *names("getuid32 geteuid32 getgid32 getegid32 getgroups32"),
    *names("getresuid32 getresgid32 uname getrlimit ugetrlimit"),
    *names("getrandom getrusage times sysinfo"),
    # descriptors that one has
    *names("read write readv writev pread64 pwrite64 preadv"),
    *names("pwritev preadv2 pwritev2 close close_range lseek _llseek"),
    *names("fstat fstat64 fstatat64 newfstatat statx stat stat64 lstat lstat64 fcntl fcntl64 dup dup2 dup3"),
    *names("poll ppoll ppoll_time64 select _newselect"),
    *names("pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl"),
    *names("epoll_wait epoll_pwait epoll_pwait2 eventfd"),
    *names("eventfd2 timerfd_create timerfd_settime timerfd_gettime"),
    *names("timerfd_settime64 timerfd_gettime64 pipe pipe2 signalfd4 sendfile sendfile64"),
    # the inherited connection to a message server; no call here can make a new one
    *names("recvmsg recvfrom recv recvmmsg sendmsg sendto send sendmmsg shutdown getsockopt setsockopt"),
    *names("getsockname getpeername"),
    Rule("socketpair", (Condition(0, LOW_32, AF_UNIX),)),
    # files of the sandbox
    *names("open openat access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd"),
    *names("unlink unlinkat rename renameat renameat2 ftruncate ftruncate64 fsync fdatasync flock umask"),
    # threads and children, in the same namespaces
    Rule("clone", (Condition(0, CLONE_NAMESPACES | CLONE_PTRACE, 0),)),
    *names("fork vfork wait4 waitid"),
    *names("prlimit64 setrlimit"),  # hard limits are set by kos-launch and nothing can raise them
    # PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_TIMERSLACK, PR_SET_VMA
    *prctls(3, 15, 16, 23, 29, 0x53564D41),
    Rule("prctl", (Condition(0, LOW_32, 4), Condition(1, 0xFFFFFFFFFFFFFFFF, 0))),  # PR_SET_DUMPABLE to 0
    # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Never TIOCSTI.
    *ioctls(0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
)

_MEMORY_C = tuple(
    # No memory that is writable and executable at once: C has no need of it.
    Rule(name, (Condition(2, PROT_WRITE_EXEC, value),))
    for name in ("mmap", "mmap2", "mprotect")
    for value in (0x0, 0x2, 0x4)
)
_MEMORY_PYTHON = names("mmap mmap2 mprotect")  # libffi makes its call-backs in writable, executable memory

_PYTHON = (
    *names("mkdir mkdirat rmdir chdir fchdir link linkat symlink symlinkat truncate truncate64 fallocate"),
    *names("chmod fchmod fchmodat utime utimes utimensat"),
    *names("utimensat_time64 futimesat statfs statfs64 fstatfs fstatfs64"),
    *names("copy_file_range getitimer timer_getoverrun sched_rr_get_interval"),
    *names("sched_get_priority_max sched_get_priority_min readahead"),
)

# gdbserver, beside the one app that it may trace: no execve, so that it starts nothing.
_DEBUGGER = (
    *names("ptrace process_vm_readv process_vm_writev personality chdir"),
    *names("statfs statfs64 fstatfs fstatfs64"),
)

# Probes that libc, CPython and common packages make and whose refusal they expect.
_REFUSE = {
    "clone3": errno.ENOSYS,
    "openat2": errno.ENOSYS,
    "io_uring_setup": errno.ENOSYS,
    "memfd_create": errno.ENOSYS,  # memory that no limit but a control group's would count
    "memfd_secret": errno.ENOSYS,
    "pidfd_open": errno.ENOSYS,
    "pidfd_send_signal": errno.ENOSYS,
    "inotify_init": errno.ENOSYS,
    "inotify_init1": errno.ENOSYS,
    "get_mempolicy": errno.ENOSYS,
    "set_mempolicy": errno.ENOSYS,
    "mbind": errno.ENOSYS,
    "sched_getattr": errno.ENOSYS,
    "sched_setattr": errno.EPERM,
    "sched_setaffinity": errno.EPERM,
    "sched_setparam": errno.EPERM,
    "sched_setscheduler": errno.EPERM,
    "setpriority": errno.EPERM,
    "ioprio_get": errno.ENOSYS,
    "ioprio_set": errno.EPERM,
    "mlock": errno.EPERM,
    "mlock2": errno.EPERM,
    "mlockall": errno.EPERM,
    "munlock": errno.EPERM,
    "munlockall": errno.EPERM,
    "chown": errno.EPERM,
    "fchown": errno.EPERM,
    "lchown": errno.EPERM,
    "fchownat": errno.EPERM,
    "getxattr": errno.ENOTSUP,
    "lgetxattr": errno.ENOTSUP,
    "fgetxattr": errno.ENOTSUP,
    "listxattr": errno.ENOTSUP,
    "llistxattr": errno.ENOTSUP,
    "flistxattr": errno.ENOTSUP,
    "setxattr": errno.ENOTSUP,
    "lsetxattr": errno.ENOTSUP,
    "fsetxattr": errno.ENOTSUP,
    "setpgid": errno.EPERM,
    "setsid": errno.EPERM,
    "capget": errno.EPERM,
}

# Sockets of an app that has a network: TCP, UDP and ping, and local ones, which lead nowhere. No raw packets,
# and no other protocol: the kernel would load the module of any that is asked for.
_SOCKETS = {
    (AF_UNIX, SOCK_STREAM): (0,),
    (AF_UNIX, SOCK_DGRAM): (0,),
    (AF_INET, SOCK_STREAM): (0, IPPROTO_TCP),
    (AF_INET, SOCK_DGRAM): (0, IPPROTO_UDP, IPPROTO_ICMP),
    (AF_INET6, SOCK_STREAM): (0, IPPROTO_TCP),
    (AF_INET6, SOCK_DGRAM): (0, IPPROTO_UDP, IPPROTO_ICMPV6),
}
_INTERNET = (
    *(
        Rule(
            "socket", (Condition(0, LOW_32, family), Condition(1, 0xF, kind), Condition(2, LOW_32, protocol))
        )
        for (family, kind), protocols in _SOCKETS.items()
        for protocol in protocols
    ),
    *names("bind listen accept accept4 connect"),
)
# The C library asks which addresses there are and does without an answer.
_REFUSE_IF = {"internet": ((Rule("socket", (Condition(0, LOW_32, AF_NETLINK),)), errno.EAFNOSUPPORT),)}
# The service `vmm` and its child QEMU, which puts a filter of its own, narrower one on top.
_KVM = (
    *names("execve memfd_create seccomp"),
    ioctl_type(0xAE),
    *prctls(22, 33, 38),  # PR_SET_SECCOMP, PR_MCE_KILL, PR_SET_NO_NEW_PRIVS
)

# What a resource of the manifest adds.
_RESOURCES: dict[str, tuple[Rule, ...]] = {
    "i2c": (ioctl_type(0x07),),
    "gpio": (ioctl_type(0xB4),),
    "serial": (ioctl_type(0x54), ioctl_type(0x55)),
    "mmio": (),
    "interrupt": (),
    "dma": (),
    "storage": (),
    "keys": (),
    "supervisor": (),
    # Ethernet and tunnel are handed what they use; Python asks for the index of the interface it sends to.
    "network": ioctls(0x8933),  # SIOCGIFINDEX
    "internet": _INTERNET,  # not in a manifest: what a grant of kos_internet_protocol brings
    "kvm": _KVM,
}

# The resources that change a policy: an image holds the filters of all their combinations.
RESOURCES_WITH_CALLS = tuple(name for name, rules in _RESOURCES.items() if rules)
KINDS = ("c", "python", "service", "msgserver")
DEBUGGER = "debugger"  # no app, so no kind of image: it has no resources


def policy_for(kind: str, resources: tuple[str, ...] = ()) -> Policy:
    """The policy of an app of image kind `kind` that holds these types of resource."""
    allow: tuple[Rule, ...] = _BASE
    allow += _MEMORY_C if kind in ("c", DEBUGGER) else (*_MEMORY_PYTHON, *_PYTHON)
    if kind == DEBUGGER:
        allow += _DEBUGGER
    if kind == "msgserver":
        allow += names("memfd_create")  # it makes every mailbox
    for resource in sorted(set(resources)):
        allow += _RESOURCES[resource]
    granted = {rule.name for rule in allow}
    refuse = {name: error for name, error in _REFUSE.items() if name not in granted}
    refuse_if = tuple(pair for resource in sorted(set(resources)) for pair in _REFUSE_IF.get(resource, ()))
    return Policy(allow, refuse, refuse_if)
