"""What a mistake of a client is: its name, the change it makes to a part of the signature, the words for its cure."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from extauthz.explain.diagnosis.mistakes.draft import Case, Head, Tail

Heads = Iterable[tuple[Head, str]]
Tails = Iterable[tuple[Tail, str]]
Strings = Iterable[tuple[bytes, str]]
NO_LANGUAGES: Final[Mapping[str, str]] = MappingProxyType({})


class Mistake(NamedTuple):
    """One mistake. Exactly one of the functions from ``heads`` on is there; it yields the variants of the mistake.

    With each variant comes what was found, in words for the operator, or an empty text. No words hold a secret.
    """

    name: str
    wrong: str
    """What the client does, as a sentence."""
    cure: str
    """What to change, as a sentence."""
    languages: Mapping[str, str] = NO_LANGUAGES
    """The same in words of a language or library, where it is known from it."""
    heads: Callable[[Head, Case], Heads] | None = None
    """Other lines before the path."""
    tails: Callable[[Tail, Case], Tails] | None = None
    """Another path or other parameters."""
    strings: Callable[[bytes, Case], Strings] | None = None
    """Another string, made of the right one."""
    secrets: Callable[[bytes, Case], Strings] | None = None
    """Another key, made of the right AppSecret."""
    mac: Callable[[bytes, bytes, str], bytes] | None = None
    """Something else than the HMAC, from key, string and the name of the hash."""
    spellings: Callable[[bytes], Iterable[bytes]] | None = None
    """From X-Ca-Signature as it came to the bytes that it spells in another way than the scheme does."""
