"""A filter that lets an app leave its sandbox."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

# Calls that make namespaces, mounts, kernel code or other processes one's own.
# fmt: off
DANGEROUS = frozenset({
    "acct", "add_key", "bpf", "chroot", "delete_module", "finit_module", "fsmount", "fsopen",
    "init_module", "io_uring_setup", "ioperm", "iopl", "kexec_file_load", "kexec_load", "keyctl", "mount",
    "mount_setattr", "move_mount", "open_by_handle_at", "open_tree", "perf_event_open", "personality",
    "pidfd_getfd", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot",
    "request_key", "setns", "swapoff", "swapon", "umount2", "unshare", "userfaultfd",
})
# fmt: on


@rule(
    "dangerous-call",
    Severity.CRITICAL,
    "A filter allows namespaces, tracing, mounts or code in the kernel",
    looks_at="the system calls that the filter of each running app lets through",
    why=(
        "Each of these calls has been a way out of a sandbox; no app has a use for them that a port cannot "
        "serve."
    ),
    sources=(*etsi("5.6-6", "5.6-7"), *iec("CR 7.7", "EDR 3.2")),
    fix="take the calls out of the policy; an app that needs one of them is not an app",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, app in facts.running.sandboxes:
        found = sorted(DANGEROUS.intersection(app.allowed or ()))
        if found:
            yield Fault(f"{name} may call {', '.join(found)}", name)
