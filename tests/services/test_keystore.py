from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kos.abi.errors import KosError
from kos.abi.services import (
    KEY_STORE_AGREE,
    KEY_STORE_EPHEMERAL,
    KEY_STORE_LIST,
    KEY_STORE_NAME_MAX,
    KEY_STORE_PUBLIC,
    KEY_STORE_SIGN,
    KEY_STORE_TYPE_ED25519,
    KEY_STORE_TYPE_X25519,
)
from kos.abi.status import Status
from kos.services.keystore import config, keys
from kos.services.keystore.server import KeyStore

# RFC 8032, 7.1, test 2
SIGN_SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
SIGN_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
# RFC 7748, 6.1
ALICE_SECRET = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

ACCESS = {
    "tunnel": {"tunnel": ["public", "agree"]},
    "admin": {"server": ["public", "sign"], "tunnel": ["public"]},
    "self_test": {"self_test": ["public", "sign"]},
}


def put(folder: Path, name: str, secret: bytes, public: bytes | None = None, mode: int = 0o600) -> None:
    path = folder / f"{name}.key"
    path.write_bytes(secret)
    path.chmod(mode)
    if public is not None:
        path.with_suffix(".pub").write_bytes(public)


def store(folder: Path) -> KeyStore:
    settings = config.parse({"access": ACCESS})
    return KeyStore(keys.load(settings.keys.values(), folder), settings.access)


@pytest.fixture
def provisioned(tmp_path: Path) -> KeyStore:
    put(tmp_path, "tunnel", ALICE_SECRET)
    put(tmp_path, "server", SIGN_SECRET, SIGN_PUBLIC)
    return store(tmp_path)


def test_signs_as_the_rfc_says(provisioned: KeyStore) -> None:
    assert provisioned.answer("admin", KEY_STORE_SIGN, 0, b"server\0\x72").payload == SIGNATURE


def test_agrees_as_the_rfc_says(provisioned: KeyStore) -> None:
    assert provisioned.answer("tunnel", KEY_STORE_AGREE, 0, b"tunnel\0" + BOB_PUBLIC).payload == SHARED


def test_tells_public_keys_with_their_type(provisioned: KeyStore) -> None:
    reply = provisioned.answer("admin", KEY_STORE_PUBLIC, 0, b"server\0")
    assert (reply.status, reply.param, reply.payload) == (Status.OK, KEY_STORE_TYPE_ED25519, SIGN_PUBLIC)
    assert provisioned.answer("admin", KEY_STORE_PUBLIC, 0, b"tunnel\0").param == KEY_STORE_TYPE_X25519


def test_a_key_that_was_not_provisioned_is_marked_and_differs_each_time(tmp_path: Path) -> None:
    replies = [store(tmp_path).answer("admin", KEY_STORE_PUBLIC, 0, b"server\0") for _ in range(2)]
    assert {reply.param for reply in replies} == {KEY_STORE_TYPE_ED25519 | KEY_STORE_EPHEMERAL}
    assert replies[0].payload != replies[1].payload


def test_an_ephemeral_key_is_never_read_from_the_partition(tmp_path: Path) -> None:
    put(tmp_path, "self_test", SIGN_SECRET, SIGN_PUBLIC)
    reply = store(tmp_path).answer("self_test", KEY_STORE_PUBLIC, 0, b"self_test\0")
    assert reply.payload != SIGN_PUBLIC
    assert reply.param & KEY_STORE_EPHEMERAL


def test_a_message_may_hold_any_bytes(provisioned: KeyStore) -> None:
    message = bytes(range(256)) * 15
    signature = provisioned.answer("admin", KEY_STORE_SIGN, 0, b"server\0" + message).payload
    Ed25519PublicKey.from_public_bytes(SIGN_PUBLIC).verify(signature, message)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(SIGN_PUBLIC).verify(signature, message + b"x")


@pytest.mark.parametrize(
    ("app", "label", "payload"),
    [
        ("station", KEY_STORE_SIGN, b"server\0x"),  # an app without any grant
        ("tunnel", KEY_STORE_PUBLIC, b"server\0"),  # another app's key
        ("admin", KEY_STORE_AGREE, b"tunnel\0" + BOB_PUBLIC),  # another operation
        ("tunnel", KEY_STORE_SIGN, b"tunnel\0x"),  # an operation that the key does not have
        ("admin", KEY_STORE_SIGN, b"nothing\0x"),  # no such key
        ("admin", KEY_STORE_SIGN, b"../server\0x"),
    ],
)
def test_what_was_not_granted_does_not_exist(
    provisioned: KeyStore, app: str, label: int, payload: bytes
) -> None:
    reply = provisioned.answer(app, label, 0, payload)
    assert (reply.status, reply.param, reply.payload) == (Status.NOT_FOUND, 0, b"")


@pytest.mark.parametrize(
    ("app", "label", "payload"),
    [
        ("admin", KEY_STORE_SIGN, b"server"),
        ("admin", KEY_STORE_SIGN, b""),
        ("admin", KEY_STORE_SIGN, b"n" * (KEY_STORE_NAME_MAX + 1) + b"\0"),
        ("admin", KEY_STORE_SIGN, b"\xff\0x"),
        ("admin", KEY_STORE_PUBLIC, b"server\0x"),
        ("admin", KEY_STORE_LIST, b"x"),
        ("tunnel", KEY_STORE_AGREE, b"tunnel\0" + BOB_PUBLIC[:31]),
        ("tunnel", KEY_STORE_AGREE, b"tunnel\0" + BOB_PUBLIC + b"x"),
        ("tunnel", KEY_STORE_AGREE, b"tunnel\0" + bytes(32)),  # a point of small order
    ],
)
def test_what_is_malformed_is_refused(provisioned: KeyStore, app: str, label: int, payload: bytes) -> None:
    assert provisioned.answer(app, label, 0, payload).status is Status.BAD_REQUEST


def test_lists_what_the_caller_may_use_and_nothing_else(provisioned: KeyStore) -> None:
    reply = provisioned.answer("admin", KEY_STORE_LIST, 0, b"")
    assert reply.payload.decode() == "server ed25519 public,sign\ntunnel x25519 public\n"
    assert provisioned.answer("station", KEY_STORE_LIST, 0, b"").payload == b""


def test_no_label_gives_a_private_key(provisioned: KeyStore) -> None:
    for label in range(64):
        for app in (*ACCESS, "station"):
            for data in (b"", b"x", BOB_PUBLIC):
                for name in (b"server\0", b"tunnel\0", b""):
                    reply = provisioned.answer(app, label, 0, name + data)
                    assert ALICE_SECRET not in reply.payload
                    assert SIGN_SECRET not in reply.payload


# --- key files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "public", "mode", "message"),
    [
        (SIGN_SECRET[:31], None, 0o600, "expected a key of 32 bytes, found 31"),
        (SIGN_SECRET + b"\n", None, 0o600, "found more than 32"),
        (SIGN_SECRET, None, 0o640, "open to others: mode 0640"),
        (SIGN_SECRET, BOB_PUBLIC, 0o600, "is another one's"),
        (SIGN_SECRET, b"", 0o600, "expected a key of 32 bytes, found 0"),
    ],
)
def test_a_bad_key_file_stops_the_key_store(
    tmp_path: Path, secret: bytes, public: bytes | None, mode: int, message: str
) -> None:
    put(tmp_path, "server", secret, public, mode)
    with pytest.raises(KosError, match=message) as caught:
        store(tmp_path)
    assert secret.hex() not in str(caught.value)


# --- settings -----------------------------------------------------------------------------------------


def test_settings_add_keys_to_the_standard_ones() -> None:
    parsed = config.parse({"keys": {"meter": {"type": "ed25519"}}, "access": {"a": {"meter": ["sign"]}}})
    assert set(parsed.keys) == {"tunnel", "server", "self_test", "meter"}
    assert parsed.access == {"a": {"meter": frozenset({"sign"})}}


@pytest.mark.parametrize(
    "settings",
    [
        {"acess": {}},
        {"access": []},
        {"access": {"a": []}},
        {"access": {"a": {"nothing": ["sign"]}}},
        {"access": {"a": {"server": ["agree"]}}},
        {"access": {"a": {"server": "sign"}}},
        {"access": {"a": {"server": [["sign"]]}}},
        {"keys": {"meter": {"type": "rsa"}}},
        {"keys": {"meter": {"type": ["rsa"]}}},
        {"keys": {"meter": {"type": "ed25519", "size": 1}}},
        {"keys": {"meter": {"type": "ed25519", "ephemeral": "yes"}}},
        {"keys": {"../meter": {"type": "ed25519"}}},
        {"keys": {"m" * (KEY_STORE_NAME_MAX + 1): {"type": "ed25519"}}},
        {"keys": {f"k{number}": {"type": "ed25519"} for number in range(config.KEYS_MAX)}},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(KosError):
        config.parse(settings)
