"""A lock as a CycloneDX 1.5 bill of materials. Pure; no serial number and no time, so equal locks give equal
bytes.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from kos.build.sdk.apt import Package
from kos.build.sdk.lock import Lock
from kos.build.sdk.sets import SUITE


def component(package: Package) -> dict:
    """One package, named by its package URL (purl-spec, type `deb`)."""
    name = f"{quote(package.name)}@{quote(package.version)}"
    purl = f"pkg:deb/debian/{name}?arch={package.architecture}&distro={SUITE}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": package.sha256}],
        "properties": [{"name": "debian:source", "value": package.source}],
    }


def dumps(lock: Lock, sets: list[str] | None = None) -> str:
    """The bill of `sets` of the lock (all of them by default)."""
    packages = {one for name, found in lock.sets.items() if sets is None or name in sets for one in found}
    ordered = sorted(packages, key=lambda one: (one.name, one.architecture, one.version))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "platform", "name": "kos-sdk", "version": lock.version}},
        "components": [component(one) for one in ordered],
    }
    return json.dumps(document, indent=1) + "\n"
