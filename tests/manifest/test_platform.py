"""Platform specs: what each platform may be asked for, and how a wrong spec is refused."""

from __future__ import annotations

import pytest

from kos.manifest import ManifestError, PlatformSpec
from kos.manifest.platform import PLATFORMS


@pytest.mark.parametrize(
    ("text", "arch", "hyp", "canonical"),
    [
        ("host", None, False, "host"),
        ("qemu-arm-virt", "aarch64", False, "qemu-arm-virt"),
        ("qemu-arm-virt,arch=aarch32", "aarch32", False, "qemu-arm-virt,arch=aarch32"),
        ("qemu-arm-virt,hyp=on", "aarch64", True, "qemu-arm-virt,hyp=on"),
        ("imx8mm-evk,arch=aarch64,hyp=on", "aarch64", True, "imx8mm-evk,hyp=on"),
        ("portenta-x8,hyp=off", "aarch64", False, "portenta-x8"),
        ("rpi4,hyp=on", "aarch64", True, "rpi4,hyp=on"),
        ("am335x", "aarch32", False, "am335x"),
    ],
)
def test_a_spec_is_parsed(text: str, arch: str | None, hyp: bool, canonical: str):
    spec = PlatformSpec.parse(text)
    assert (spec.arch, spec.hyp) == (arch, hyp)
    assert str(spec) == canonical
    assert PlatformSpec.parse(str(spec)) == spec


def test_every_platform_parses_alone_or_says_why_not():
    for name, platform in PLATFORMS.items():
        if platform.disabled is None:
            assert str(PlatformSpec.parse(name)) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x86_64", "x86_64 is disabled in this release\nhint: use one of: host"),
        ("x86_64,arch=aarch64", "x86_64 is disabled"),
        ("imx8mm", "there is no platform 'imx8mm'\nhint: did you mean imx8mm-evk?"),
        ("", "there is no platform ''"),
        ("rpi4,hyp", "expected key=value, found 'hyp'"),
        ("rpi4,", "expected key=value, found ''"),
        ("rpi4,hyp=", "expected key=value"),
        ("rpi4,hyp=yes", "expected hyp=on or hyp=off, found hyp=yes"),
        ("rpi4,hyp=on,hyp=on", "hyp is given twice"),
        ("rpi4,cpus=4", "unknown option 'cpus'\nhint: known: arch, hyp"),
        ("rpi4,arch=aarch32", "no arch=aarch32\nhint: it has aarch64"),
        ("host,arch=aarch64", "no arch=aarch64"),
        ("host,hyp=on", "host cannot run microVMs\nhint: hyp=on works on qemu-arm-virt,arch=aarch64"),
        ("qemu-arm-virt,arch=aarch32,hyp=on", "qemu-arm-virt with arch=aarch32 cannot run microVMs"),
        ("portenta-x8,hyp=on", "portenta-x8 cannot run microVMs"),
        ("r" * 129, "at most 128 characters"),
        (None, "at most 128 characters"),
    ],
)
def test_a_wrong_spec_is_refused(text: str, message: str):
    with pytest.raises(ManifestError) as caught:
        PlatformSpec.parse(text)
    assert message in str(caught.value)
