"""Two guests write to one disk."""

from collections import defaultdict
from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.guests import disks
from kos.assurance.rule import Fault, Severity, etsi, iec, rule


@rule(
    "shared-writable-image",
    Severity.HIGH,
    "Guests share a disk image that one of them may write",
    looks_at="the disks of every guest, by image, except those that are copies in an app's own data",
    why=(
        "A file system that two kernels have mounted is destroyed by the first write; and what one guest "
        "writes, the other runs."
    ),
    sources=(*etsi("5.6-7"), *iec("CR 5.1", "CR 3.4")),
    fix="give each guest an image of its own, or make the shared one read-only for all",
)
def check(facts: Facts) -> Iterator[Fault]:
    users: dict[str, dict[str, bool]] = defaultdict(dict)
    for app in facts.service("vmm"):
        for disk in disks(app):
            users[disk.image][app.name] = users[disk.image].get(app.name, False) or disk.shared_writable
    for image, guests in sorted(users.items()):
        if len(guests) > 1 and any(guests.values()):
            writer = min(name for name, writes in guests.items() if writes)
            yield Fault(f"{' and '.join(sorted(guests))} share {image}, which {writer} may write", writer)
