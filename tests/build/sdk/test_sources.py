"""Where packages come from, how they are locked and listed; nothing is downloaded here."""

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from kos.abi.errors import KosError
from kos.build.sdk import home, lock, sbom
from kos.build.sdk.apt import Package, verified
from kos.build.sdk.sources import Source, from_targets

PACKAGE = Package("libc6", "2.41-12+deb13u4", "arm64", "ab" * 32, 5, "glibc")


def test_the_hosts_mirrors_are_used_with_our_suite():
    text = "http://m/debian/|bookworm|main\nhttp://m/debian/|bookworm|contrib\nhttp://s/debian-security/|bookworm-security|main\n"
    text += "http://n/node|nodistro|main\nhttp://u/ubuntu|noble|main\n"
    assert from_targets(text) == [
        Source("http://m/debian/", "trixie"),
        Source("http://s/debian-security/", "trixie-security"),
    ]


def test_a_lock_reads_back(tmp_path):
    path = tmp_path / "sdk.lock.json"
    made = lock.Lock("1.0.0", {"base-arm64": [PACKAGE]})
    made.save(path)
    assert lock.load(path) == made


def test_a_lock_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "lock"
    path.write_bytes(b" " * (lock.LOCK_MAX + 1))
    with pytest.raises(KosError, match="at most"):
        lock.load(path)


def test_the_bill_names_each_package_once():
    bill = json.loads(sbom.dumps(lock.Lock("1.0.0", {"a": [PACKAGE], "b": [PACKAGE]})))
    (component,) = bill["components"]
    assert bill["bomFormat"] == "CycloneDX"
    assert component["purl"] == "pkg:deb/debian/libc6@2.41-12%2Bdeb13u4?arch=arm64&distro=trixie"


def test_the_bill_is_what_cyclonedx_says_it_must_be():
    """Checked by CycloneDX's own validator against its published schema, package URLs by packageurl."""
    other = replace(PACKAGE, name="libstdc++6", version="1:14.2.0-19~bpo")
    text = sbom.dumps(lock.Lock("1.0.0", {"a": [PACKAGE, other]}))
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert problem is None, problem
    urls = [PackageURL.from_string(one["purl"]) for one in json.loads(text)["components"]]
    assert [(url.type, url.name, url.version) for url in urls] == [
        ("deb", "libc6", "2.41-12+deb13u4"),
        ("deb", "libstdc++6", "1:14.2.0-19~bpo"),
    ]
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text.replace("SHA-256", "SHA-0")) is not None


def test_a_damaged_package_is_removed(tmp_path):
    path = tmp_path / "libc6.deb"
    path.write_bytes(b"bytes")
    with pytest.raises(KosError, match="expected sha256"):
        verified(path, PACKAGE)
    assert not path.exists()


@pytest.mark.parametrize("text", ["1.0", "../x", "1.0.0/..", "", "1.0.0-" + "x" * 33])
def test_a_version_that_is_a_path_is_refused(text):
    with pytest.raises(KosError, match="SDK version"):
        home.check_version(text)
