"""Random manifests for property tests: structurally right, not necessarily sensible."""

from __future__ import annotations

from hypothesis import strategies as st

from kos.manifest import (
    AccessControl,
    App,
    BuiltCImage,
    BuiltPythonImage,
    BuiltVmImage,
    CImage,
    Gpio,
    I2CBus,
    Interrupt,
    Keys,
    Manifest,
    Mmio,
    MsgServer,
    Options,
    PythonImage,
    Restart,
    Serial,
    ServiceImage,
    Storage,
    TunnelIp,
    VmImage,
)
from kos.manifest.model import SystemPart

names = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
sha = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
sizes = st.integers(0, 4 << 30)
images = st.one_of(
    st.builds(PythonImage, names, st.none() | st.just("pkg.mod:main")),
    st.builds(CImage, names),
    st.just(ServiceImage("kos.services.rng.main:main")),
    st.builds(BuiltPythonImage, sha, sizes, st.just("pkg:main")),
    st.builds(BuiltCImage, sha, sizes, st.just("bin/x")),
    st.builds(
        VmImage,
        st.just("kos.services.vmm.main:main"),
        names,
        st.none() | names,
        st.lists(names, max_size=5, unique=True).map(tuple),
    ),
    st.builds(BuiltVmImage, sha, sizes, st.just("kos.services.vmm.main:main")),
)
resources = st.one_of(
    st.builds(I2CBus, names),
    st.builds(Gpio, names, st.lists(st.integers(0, 1023), min_size=1, max_size=3, unique=True).map(tuple)),
    st.builds(Serial, names),
    st.builds(Mmio, st.integers(0, (1 << 48) - 1), st.integers(1, 1 << 20)),
    st.builds(Interrupt, st.integers(0, 1023)),
    st.builds(Storage, st.integers(1, 1 << 44)),
    st.just(Keys()),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e15, 1e15, allow_nan=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
seconds = st.floats(0, 86400)
restarts = st.builds(
    Restart,
    st.sampled_from(["never", "on-failure", "always"]),
    seconds,
    seconds,
    st.integers(0, 1000),
    seconds,
)
addresses = st.builds(
    TunnelIp, st.just("10.0.0.2"), st.just("255.255.255.0"), st.sampled_from(["10.0.0.1", "10.1.2.3"])
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A manifest whose references hold, with up to five apps on up to two message servers."""
    servers = draw(
        st.dictionaries(st.sampled_from(["msg0", "msg1"]), st.lists(names, max_size=4, unique=True))
    )
    app_names = draw(st.lists(names.filter(lambda n: n not in servers), max_size=5, unique=True))
    served: set[tuple[str, str]] = set()
    apps = {}
    for name in app_names:
        access: dict[str, dict[str, AccessControl]] = {}
        for server, ports in servers.items():
            for port in ports:
                role = draw(st.sampled_from(["none", "client", "server"]))
                if role == "none" or (role == "server" and (server, port) in served):
                    continue
                if role == "server":
                    served.add((server, port))
                grant = AccessControl(role, draw(st.none() | st.integers(0, 9)), draw(st.booleans()))
                access.setdefault(server, {})[port] = grant
        image = draw(images)
        apps[name] = App(
            name,
            image,
            arguments=draw(st.lists(text, max_size=2)),
            environ=draw(st.dictionaries(st.sampled_from(["A", "_b1"]), text)),
            config=draw(st.dictionaries(text, json_values, max_size=3)),
            priority=draw(st.integers(0, 255)),
            max_priority=draw(st.none() | st.integers(0, 255)),
            memory=draw(st.none() | st.integers(1, 1 << 40)),
            restart=draw(restarts),
            critical=draw(st.booleans()),
            debug=draw(st.booleans()) and not isinstance(image, ServiceImage),
            resources=draw(st.lists(resources, max_size=2)),
            access=access,
            where=draw(st.sampled_from(["", "system.py:3"])),
        )
    options = Options(
        persistent_boot=draw(st.booleans()),
        watchdog=draw(seconds),
        boot_attempts=draw(st.integers(0, 15)),
        tunnel_ips=draw(st.dictionaries(st.sampled_from(app_names), addresses)) if app_names else {},
    )
    return Manifest(
        name=draw(names),
        release="1.0.0",
        platform=draw(st.sampled_from(["host", "imx8mm-evk,hyp=on"])),
        options=options,
        msg_servers={name: MsgServer(ports) for name, ports in servers.items()},
        apps=apps,
        parts=draw(
            st.dictionaries(
                st.sampled_from(["bootfs", "root"]), st.builds(SystemPart, sha, st.integers(1, 4 << 30))
            )
        ),
    )
