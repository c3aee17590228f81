"""The relying party: the public address as passkeys know it, and the verification of what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from collector.sites.hostnames import is_address
from dashboard.access.passkeys.challenges import Challenge
from dashboard.access.passkeys.credential import Passkey
from dashboard.access.passkeys.refusal import PasskeyRefused

LONGEST_ID: Final = 1023
"""Bytes (Web Authentication, 7.1, step 25)."""
_REQUIRED: Final = UserVerificationRequirement.REQUIRED
"""The authenticator asks for a fingerprint, face or PIN: with itself that makes two factors."""


class _Made(msgspec.Struct, frozen=True):
    client: str = msgspec.field(name="clientDataJSON")
    attestation: str = msgspec.field(name="attestationObject")


class _Signed(msgspec.Struct, frozen=True):
    client: str = msgspec.field(name="clientDataJSON")
    authenticator: str = msgspec.field(name="authenticatorData")
    signature: str
    handle: str = msgspec.field(name="userHandle")


class Registration(msgspec.Struct, frozen=True):
    """What a browser answers when a passkey was made. Bytes are base64url."""

    id: str = msgspec.field(name="rawId")
    response: _Made
    type: Literal["public-key"] = "public-key"


class Assertion(msgspec.Struct, frozen=True):
    """What a browser answers when a passkey was used."""

    id: str = msgspec.field(name="rawId")
    response: _Signed
    type: Literal["public-key"] = "public-key"


class NewCredential(NamedTuple):
    """A passkey that was made: id and key as `Passkey` has them."""

    id: str
    key: str
    counter: int


class RelyingParty:
    """Passkeys of one origin, such as `https://stats.example.com`."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.id = urlsplit(origin).hostname or ""
        self._server = Fido2Server(
            PublicKeyCredentialRpEntity(name="Tyst", id=self.id), verify_origin=lambda given: given == origin
        )

    def creation_options(
        self, challenge: Challenge, handle: bytes, name: str, known: Iterable[Passkey]
    ) -> Mapping[str, Any]:
        """What `navigator.credentials.create` takes, as JSON: a passkey that its authenticator lists, of the account
        `name`, in an authenticator that has none of `known`."""
        options, _ = self._server.register_begin(
            PublicKeyCredentialUserEntity(id=handle, name=name, display_name=name),
            [_descriptor(each) for each in known],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=_REQUIRED,
            challenge=challenge.value,
        )
        return dict(options.public_key)

    def request_options(self, challenge: Challenge) -> Mapping[str, Any]:
        """What `navigator.credentials.get` takes, as JSON: any passkey of this relying party."""
        options, _ = self._server.authenticate_begin(user_verification=_REQUIRED, challenge=challenge.value)
        return dict(options.public_key)

    def registered(self, challenge: Challenge, answer: str) -> NewCredential:
        """The passkey that was made for this challenge. Raises `PasskeyRefused`."""
        with _refusals():
            given = msgspec.to_builtins(msgspec.json.decode(answer, type=Registration))
            response = RegistrationResponse.from_dict(given)
            _must_not_be_framed(response.response.client_data.cross_origin)
            made = self._server.register_complete(_state(challenge), response)
            credential = made.credential_data
            if credential is None or credential.credential_id != response.raw_id:
                raise PasskeyRefused("no credential")
            if len(credential.credential_id) > LONGEST_ID:
                raise PasskeyRefused("its id is too long")
            key = websafe_encode(cbor.encode(dict(credential.public_key)))
            return NewCredential(websafe_encode(credential.credential_id), key, made.counter)

    def asserted(self, challenge: Challenge, passkey: Passkey, handle: bytes, answer: Assertion) -> int:
        """The authenticator's counter, once it has signed this challenge with that passkey of the account that `handle`
        names. Raises `PasskeyRefused`."""
        with _refusals():
            response = AuthenticationResponse.from_dict(msgspec.to_builtins(answer))
            _must_not_be_framed(response.response.client_data.cross_origin)
            self._server.authenticate_complete(_state(challenge), [_credential(passkey)], response)
            if response.response.user_handle != handle:
                raise PasskeyRefused("it is of another account")
            counter: int = response.response.authenticator_data.counter
            return counter


def read_assertion(text: str) -> Assertion:
    """The answer that a browser sent. Raises `PasskeyRefused`."""
    with _refusals():
        return msgspec.json.decode(text, type=Assertion)


def relying_party(public_url: str) -> RelyingParty | None:
    """The relying party of that address; None where browsers have no passkeys for it: without TLS but on this machine,
    and where it has an address for a name."""
    host = urlsplit(public_url).hostname or ""
    local = host == "localhost" or host.endswith(".localhost")
    if not host or not (public_url.startswith("https:") or local) or is_address(host):
        return None
    return RelyingParty(_origin(public_url))


@contextmanager
def _refusals() -> Iterator[None]:
    """Whatever is wrong with bytes from outside, as a refusal."""
    try:
        yield
    except PasskeyRefused:
        raise
    except Exception as error:  # noqa: BLE001 # the library lets through whatever its parts raise
        # Sentences are its own; other errors may hold what was sent.
        raise PasskeyRefused(str(error) if type(error) is ValueError else type(error).__name__) from None


def _must_not_be_framed(cross_origin: bool) -> None:
    if cross_origin:
        raise PasskeyRefused("asked in a frame of another site")


def _state(challenge: Challenge) -> dict[str, Any]:
    return {"challenge": challenge.text, "user_verification": _REQUIRED}


def _credential(passkey: Passkey) -> AttestedCredentialData:
    key = CoseKey.parse(cast(Mapping[int, Any], cbor.decode(websafe_decode(passkey.key))))
    return AttestedCredentialData.create(Aaguid.NONE, websafe_decode(passkey.id), key)


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=websafe_decode(passkey.id))


def _origin(url: str) -> str:
    """The origin of an address as browsers serialise it."""
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname if parts.port in (None, usual) else parts.netloc}"
