"""Domains of a group, in the one form that a request's host is compared in; any other could never match.

A host is compared in lower case, without port and trailing dot (``wire.request.canonical_host``), and clients send a
name with other letters than ASCII as A-labels (RFC 5891, section 4), as their resolvers need it.
"""

import ipaddress
import re
from typing import Final

import idna

FORMS: Final = "a host name such as api.example.com, `*.example.com` for every name below it, or `*` for every host"
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
_MAX_NAME: Final = 253
_MAX_LABEL: Final = 63
"""RFC 1035, section 2.3.4, without the octets that only the wire format has."""
_URL_SIGNS: Final = re.compile(r"[/?#@]")
_PORT: Final = re.compile(r":[0-9]*$")
_IN_BRACKETS: Final = re.compile(r"\[([^\]]*)\]")


class DomainFault(ValueError):
    """A domain that no host can match; the message says how to write it."""


def read_domain(written: str) -> str:
    """The domain as hosts are compared with it. Raises DomainFault."""
    text = written.lower()
    if text == "*":
        return text
    host = _host_alone(text)
    if host != text:
        raise DomainFault(f"a domain is a host name alone, without scheme, port or path; write `{host}`")
    if "[" in text or _is_ipv6(text):
        return _address(text)
    if re.search(r"[\s,|]", text):
        raise DomainFault("must be one host name; write each name as an entry of its own")
    if text.endswith("."):
        raise DomainFault(f"ends with a dot, which hosts are compared without; write `{text.rstrip('.')}`")
    name = text.removeprefix("*.")
    if "*" in name:
        raise DomainFault("`*` stands alone, or at the front for whole labels, as in `*.example.com`")
    if text.startswith("."):
        raise DomainFault(f"begins with a dot; write `*{text}` for every name below it")
    name = _ascii(name)
    _check_labels(name, wildcard=text.startswith("*."))
    return f"*.{name}" if text.startswith("*.") else name


def _host_alone(text: str) -> str:
    """Of a URL, or a part of one, the host."""
    host = text.partition("://")[2] or text.removeprefix("//")
    if _URL_SIGNS.search(host):
        host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2]
    if host.count(":") == 1 or host.startswith("["):
        host = _PORT.sub("", host)
    return host or text


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _address(text: str) -> str:
    """An IPv6 address as clients write it in a Host header (RFC 5952, RFC 9110, section 7.2)."""
    inside = _IN_BRACKETS.fullmatch(text)
    try:
        address = ipaddress.IPv6Address(inside[1] if inside else text)
    except ValueError:
        raise DomainFault(f"is not an IPv6 address in brackets, such as [2001:db8::1]; write one, or {FORMS}") from None
    if address.scope_id is not None:
        raise DomainFault("an address with a zone (`%`) is in no request; leave the zone out")
    if text != f"[{address}]":
        raise DomainFault(f"is not how clients write this address; write `[{address}]`")
    return text


def _ascii(name: str) -> str:
    """Labels with other letters than ASCII as A-labels (UTS 46, non-transitional, as browsers do)."""
    if name.isascii():
        return name
    try:
        labels = idna.uts46_remap(name, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except (idna.IDNAError, UnicodeError):
        raise DomainFault(
            "is not an internationalized domain name; write it as the registry does, in labels that begin with `xn--`"
        ) from None


def _check_labels(name: str, *, wildcard: bool) -> None:
    labels = name.split(".")
    if not all(labels):
        raise DomainFault(f"has an empty label; write {FORMS}" if name else f"is empty; write {FORMS}")
    for label in labels:
        if len(label) > _MAX_LABEL:
            raise DomainFault(f"has a label of {len(label)} characters; no host name has more than {_MAX_LABEL} in one")
        if not _LABEL.fullmatch(label):
            raise DomainFault(
                f"must be {FORMS}; its labels are letters, digits, `_` and inner hyphens, `{label}` is not one"
            )
    if len(name) > _MAX_NAME:
        raise DomainFault(f"has {len(name)} characters; no host name has more than {_MAX_NAME}")
    if labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(name)
        except ValueError:
            raise DomainFault("ends in a number and is not an IPv4 address; write the whole address") from None
        if wildcard:
            raise DomainFault(f"no name is below an address; write `{name}`")
