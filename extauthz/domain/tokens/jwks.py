"""JWK Sets (RFC 7517, section 5): the one reader of key sets, whether they stand in a file or at a URL.

Providers publish keys for other purposes beside those that verify tokens. What cannot be used is left out and noted;
it never spoils the keys beside it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from extauthz.domain.tokens.jwk import HMAC_ALGORITHMS, KeyRefused, KeySet, VerificationKey, read_key

_NOTED: Final = 8
"""Keys that a note names; of more it tells the number."""
_SHOWN_KID: Final = 64


class NotAKeySet(ValueError):
    """A document that is no key set. The message says why and quotes nothing."""


class TooManyKeys(ValueError):
    """A key set with more keys than are allowed."""


@dataclass(frozen=True, slots=True)
class ReadKeySet:
    """The usable keys of a document, and why the others are left out."""

    keys: KeySet
    left_out: tuple[str, ...] = ()
    """For each key that cannot be used which one it is and why; never key material."""

    @property
    def note(self) -> str:
        """``left_out`` in one line for people; empty when every key can be used."""
        told = [*self.left_out[:_NOTED]]
        if len(self.left_out) > _NOTED:
            told.append(f"and {len(self.left_out) - _NOTED} more")
        return "; ".join(told)


def parse_document(text: str) -> Any:
    """JSON that a provider or a file holds. A byte order mark may stand before it (RFC 8259, section 8.1).

    Raises NotAKeySet.
    """
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise NotAKeySet("is not valid JSON") from None


def read_key_set(document: Any, max_keys: int, *, shared_secrets: bool) -> ReadKeySet:
    """The usable keys of a key set: ``{"keys": [...]}``, a list of keys, or one key alone.

    ``shared_secrets`` says whether symmetric keys (``kty: oct``) count: where anybody can read them, they are no
    secrets. Several keys may have one ``kid`` (RFC 7517, section 4.5). Raises NotAKeySet and TooManyKeys.
    """
    entries = _entries(document)
    if len(entries) > max_keys:
        raise TooManyKeys(f"holds more than {max_keys} keys")
    keys: list[VerificationKey] = []
    left_out: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(_usable(entry, shared_secrets))
        except KeyRefused as refused:
            left_out.append(f"{_name(number, entry)} {refused}")
    return ReadKeySet(KeySet(tuple(keys)), tuple(left_out))


def _entries(document: Any) -> Sequence[Any]:
    if isinstance(document, dict) and document.get("keys") is None and document.get("kty") is not None:
        return [document]
    entries = document.get("keys") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise NotAKeySet("must be a list of keys, or a mapping with `keys`")
    return entries


def _usable(entry: Any, shared_secrets: bool) -> VerificationKey:
    if not isinstance(entry, dict):
        raise KeyRefused("is not an object")
    key = read_key(entry)
    if not shared_secrets and key.keys.keys() & HMAC_ALGORITHMS:
        raise KeyRefused("is a shared secret that anybody can read")
    return key


def _name(number: int, entry: Any) -> str:
    kid = entry.get("kid") if isinstance(entry, dict) else None
    return f"key {number} (kid {kid[:_SHOWN_KID]!a})" if isinstance(kid, str) else f"key {number}"
