"""Signatures of stored records: who may write to the store cannot make up work, or change it."""

import re
from typing import Literal

from attrs import field, frozen

from chronoq.domain.errors import BadSetting
from chronoq.domain.identity import Identity
from chronoq.domain.masking import HIDDEN

Kind = Literal["job", "schedule"]

LEAST = 32
"""Bytes of a secret at the least: as many as the signature has."""

_MARK = b"s1:"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,24}")


class Refused(ValueError):
    """A record is not signed as it has to be. The message says why, in a form that people may see."""


@frozen
class SigningKey:
    """A secret, and the name by which records say that they were signed with it. Shown without the secret."""

    id: str
    secret: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise BadSetting("a signing key's id is 1 to 24 of the characters A-Z a-z 0-9 _ . -")
        if len(self.secret) < LEAST:
            raise BadSetting(f"its secret has {len(self.secret)} bytes. Give {LEAST} random ones or more")

    def __str__(self) -> str:
        return f"{self.id}:{HIDDEN}"


@frozen
class Signing:
    """The first of `keys` signs, all of them verify; without any, nothing is signed and nothing is checked.

    `required`: what is not signed is refused. What is signed, but wrongly, is refused in any case.
    """

    keys: tuple[SigningKey, ...] = ()
    required: bool = True


NO_SIGNING = Signing()


@frozen
class Seal:
    """Signs the records of one namespace, and checks them before anything of them is read.

    A signed record is `s1:<key id>:<HMAC-SHA-256 in hex>:` and the record. The signature is also over what
    it is, its namespace, queue and id: moved to another place, it does not fit there.
    """

    namespace: str
    signing: Signing = NO_SIGNING
    _secrets: dict[bytes, bytes] = field(init=False, repr=False)

    @_secrets.default
    def _by_id(self) -> dict[bytes, bytes]:
        return {key.id.encode(): key.secret for key in self.signing.keys}

    def signed(self, kind: Kind, id: Identity, record: bytes) -> bytes:
        if not self.signing.keys:
            return record
        key = self.signing.keys[0]
        return b"%b%b:%b:%b" % (_MARK, key.id.encode(), self._signature(key.secret, kind, id, record), record)

    def checked(self, kind: Kind, id: Identity, stored: bytes) -> bytes:
        """The record itself. Errors: `Refused`."""
        if not stored.startswith(_MARK):
            if self.signing.keys and self.signing.required:
                raise Refused("it is not signed")
            return stored
        _, key, signature, record = (*stored.split(b":", 3), b"", b"")[:4]
        if not self.signing.keys:
            return record
        secret = self._secrets.get(key)
        if secret is None:
            shown = key[:128].decode(errors="replace")
            raise Refused(f"it is signed with key {shown!r}, which is not among the signing_keys here")
        from hmac import compare_digest  # here: it loads OpenSSL, and few sign

        if not compare_digest(signature, self._signature(secret, kind, id, record)):
            raise Refused("its signature does not fit: another secret, or it was changed or moved")
        return record

    def outdated(self, stored: bytes) -> bool:
        """Whether a record should be signed anew: it is not signed, or with a key that is not the first."""
        keys = self.signing.keys
        return bool(keys) and not stored.startswith(b"%b%b:" % (_MARK, keys[0].id.encode()))

    def _signature(self, secret: bytes, kind: Kind, id: Identity, record: bytes) -> bytes:
        from hmac import digest

        place = f"{kind}\0{self.namespace}\0{id.queue}\0{id.key}\0".encode()
        return digest(secret, place + record, "sha256").hex().encode()
