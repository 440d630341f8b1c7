"""Who may connect to the bus, and what they may do there: decided from our own database, a batch at a time.

The bus asks for each connection; the proof of identity is the client's signature over the bus' nonce.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.session import UP_EVENT, UP_HELLO, UP_TELEMETRY, down_subject, up_subject
from kos.server.core.bus.claims import LoginRequest, Permissions, Signer, parse_request
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Organisation, PreauthorisedKey, now
from kos.server.core.devices.identity import ACCEPTED, PENDING
from kos.server.core.devices.readers import READER, reader_permissions
from kos.server.settings import Settings, is_loopback

log = logging.getLogger(__name__)

PENDING_MAX = 10_000  # devices waiting for a decision; further unknown keys are turned away
DEFAULT_ORGANISATION = "default"
MQTT_NAME = "mqtt:"  # before the device's id: connections of its MQTT clients


class LoginDesk:
    """Answers the bus' questions. Blocking."""

    def __init__(self, settings: Settings, database: Database, signer: Signer) -> None:
        self.settings = settings
        self.database = database
        self.signer = signer

    def decide(self, questions: Sequence[bytes]) -> list[bytes]:
        """One signed answer for each question, in order; b"" where the question makes no sense."""
        answers = [b""] * len(questions)
        known: list[tuple[int, LoginRequest, str, bytes | None]] = []
        for index, raw in enumerate(questions):
            try:
                request = parse_request(raw)
            except KosError as error:
                log.error("log-in: %s", error)
                continue
            try:
                key = None if request.kind == "mqtt" else proven_key(request)
                device = request.user if key is None else nkey.device_id(key)
            except KosError as error:
                answers[index] = self.signer.refuse(request, error.message)
                continue
            known.append((index, request, device, key))
        with self.database.read() as session:
            wanted = {device for _, _, device, _ in known}
            rows = {row.id: row for row in session.scalars(select(Device).where(Device.id.in_(wanted)))}
        rows |= self._enrol([one for one in known if one[2] not in rows and one[3] is not None], answers)
        for index, request, device, key in known:
            if answers[index]:
                continue
            try:
                permissions = self._permissions(request, rows.get(device), key)
                answers[index] = self.signer.allow(request, permissions)
            except KosError as error:
                answers[index] = self.signer.refuse(request, error.message)
        return answers

    def _enrol(
        self, fresh: Sequence[tuple[int, LoginRequest, str, bytes | None]], answers: list[bytes]
    ) -> dict[str, Device]:
        """Rows for keys that show up for the first time, in one transaction; who gets none is refused."""
        made: dict[str, Device] = {}
        if not fresh:
            return made
        with self.database.write() as session:
            pairs = [(key, self._welcome(request)) for _, request, _, key in fresh if key is not None]
            for (index, request, device, _), found in zip(fresh, enrol_all(session, pairs), strict=True):
                if isinstance(found, KosError):
                    answers[index] = self.signer.refuse(request, found.message)
                else:
                    made[device] = found
        return made

    def _permissions(self, request: LoginRequest, device: Device | None, key: bytes | None) -> Permissions:
        if key is None and request.user == READER:
            with self.database.read() as session:
                return reader_permissions(session, self.settings, request)
        if key is None:
            return mqtt_permissions(request, device)
        assert device is not None  # whoever showed a key was enrolled or refused
        match device.status:
            case "accepted":
                return Permissions(device.id, (up_subject(device.id, ">"),), (down_subject(device.id, ">"),))
            case "pending":
                hello = up_subject(device.id, UP_HELLO)
                return Permissions(device.id, (hello,), (down_subject(device.id, ">"),))
        raise KosError(f"device {device.id} is {device.status}")

    def _welcome(self, request: LoginRequest) -> str:
        own = self.settings.auto_accept and is_loopback(request.host)
        return ACCEPTED if own else PENDING


def proven_key(request: LoginRequest) -> bytes:
    """The public key that the client has shown to hold. Raises KosError when it has not."""
    if not request.nonce or not request.nkey:
        raise KosError("no device key shown")
    key = nkey.decode(request.nkey)
    try:
        signature = base64.b64decode(request.signature.replace("-", "+").replace("_", "/") + "==")
        Ed25519PublicKey.from_public_bytes(key).verify(signature, request.nonce.encode())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise KosError(f"wrong signature for {request.nkey}") from error
    return key


def enrol(session: Session, key: bytes, welcome: str) -> Device:
    """The row of one device seen for the first time. Raises KosError; see `enrol_all`."""
    (found,) = enrol_all(session, [(key, welcome)])
    if isinstance(found, KosError):
        raise found
    return found


def enrol_all(session: Session, fresh: Sequence[tuple[bytes, str]]) -> list[Device | KosError]:
    """Rows of devices seen for the first time, or why one gets none: a few queries for all of them.

    `fresh` has each one's key, and its status unless it was announced.
    """
    texts = {nkey.device_id(key): nkey.encode(key) for key, _ in fresh}
    there = {one.id: one for one in session.scalars(select(Device).where(Device.id.in_(texts)))}
    announced = {
        one.public_key: one
        for one in session.scalars(
            select(PreauthorisedKey).where(PreauthorisedKey.public_key.in_(texts.values()))
        )
    }
    used = [announced[text].id for identity, text in texts.items() if text in announced]
    lobby = session.scalar(select(Organisation.id).where(Organisation.slug == DEFAULT_ORGANISATION))
    waiting = session.scalar(select(func.count()).select_from(Device).where(Device.status == PENDING)) or 0
    found: list[Device | KosError] = []
    for key, welcome in fresh:
        identity = nkey.device_id(key)
        if identity not in there:
            known = announced.get(texts[identity])
            if known is None and lobby is None:
                found.append(KosError("the server has no organisation yet"))
                continue
            if known is None and waiting >= PENDING_MAX:
                found.append(KosError(f"{PENDING_MAX} devices wait already"))
                continue
            status = ACCEPTED if known else welcome
            waiting += status == PENDING
            there[identity] = Device(
                id=identity,
                organisation_id=known.organisation_id if known else lobby,
                public_key=texts[identity],
                status=status,
                name=(known.name if known else "") or identity[:8],
                tags=list(known.tags) if known else [],
                created_at=now(),
            )
            session.add(there[identity])
        found.append(there[identity])
    session.execute(delete(PreauthorisedKey).where(PreauthorisedKey.id.in_(used)))
    session.flush()
    return found


def mqtt_permissions(request: LoginRequest, device: Device | None) -> Permissions:
    """An MQTT client of a device: user is the device's id, password its data password. It only sends data."""
    digest = hashlib.sha256(request.password.encode()).hexdigest()
    if device is None or device.mqtt_hash is None or not hmac.compare_digest(digest, device.mqtt_hash):
        raise KosError("wrong MQTT user or password")
    if device.status != ACCEPTED:
        raise KosError(f"device {device.id} is {device.status}")
    return Permissions(
        MQTT_NAME + device.id,
        publish=(up_subject(device.id, UP_TELEMETRY), up_subject(device.id, UP_EVENT)),
        subscribe=(down_subject(device.id, "data.>"), "$MQTT.sub.>"),
    )
