"""The forms that names have in the configuration file, and the base of its sections."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network, summarize_address_range
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST_PORT: Final = rf"(\[[0-9A-Fa-f]*:[0-9A-Fa-f:]*\]|[A-Za-z0-9._-]+):{_PORT}"


def written(pattern: str, allowed: str) -> tuple[AfterValidator, WithJsonSchema]:
    """What makes ``str`` a text of one form. ``allowed`` says in words what fits, to come after "must be"."""
    form = re.compile(pattern)

    def check(value: str) -> str:
        if form.fullmatch(value) is None:
            raise ValueError(f"must be {allowed}")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


Text = Annotated[str, StringConstraints(min_length=1)]
Id = Annotated[
    str,
    *written(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
        "a name of at most 128 letters, digits, `.`, `_` and `-` that begins with a letter or digit",
    ),
]
AppKey = Annotated[str, *written(r"[A-Za-z0-9._-]{1,128}", "at most 128 letters, digits, `.`, `_` and `-`")]
HeaderName = Annotated[
    str,
    *written(
        r"[A-Za-z0-9][A-Za-z0-9-]{0,127}",
        "a header name of letters, digits and hyphens, such as X-User-Id (no `_`, which many servers take for a "
        "hyphen, and no `:`, which begins names of the protocol)",
    ),
]
AddressText = Annotated[
    str,
    *written(
        f"unix:/.+|{_HOST_PORT}",
        "host:port such as 127.0.0.1:9191, or unix:/path, with a port from 1 to 65535",
    ),
]
"""What ``Address.parse`` reads. Port 0 is none: nobody could know where to ask."""
Node = Annotated[str, *written(_HOST_PORT, "host:port such as 127.0.0.1:9191, with a port from 1 to 65535")]
Url = Annotated[
    str,
    StringConstraints(max_length=2048),
    *written(r"https?://[^\s/?#@]+(/[^\s#@]*)?", "an https:// or http:// URL without user and fragment"),
]
Share = Annotated[float, Field(ge=0, le=1)]
Algorithm = Literal["HmacSHA256", "HmacSHA1"]


def switch(on: str | None = None, off: str | None = None) -> BeforeValidator:
    """Lets ``on`` and ``off`` stand without quotes, where YAML 1.1 reads them as true and false."""

    def read(value: Any) -> Any:
        word = (on if value else off) if isinstance(value, bool) else None
        return value if word is None else word

    return BeforeValidator(read)


def _read_network(value: Any) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError("must be an address or network in quotes, such as '192.0.2.1' or '10.0.0.0/8'")
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError(_how_to_write_network(value)) from None


def _how_to_write_network(value: str) -> str:
    try:
        return f"has bits behind its prefix length; write `{ip_network(value, strict=False)}` or the address alone"
    except ValueError:
        pass
    first, _, last = value.partition("-")
    try:
        networks = list(summarize_address_range(ip_address(first.strip()), ip_address(last.strip())))
        return f"is a range; write it as networks: {', '.join(str(one) for one in networks[:8])}"
    except (ValueError, TypeError):
        pass
    stars = re.fullmatch(r"((?:\d{1,3}\.){1,3})\*(?:\.\*)*", value)
    if stars:
        given = stars[1].rstrip(".").split(".")
        return f"has no `*`; write `{'.'.join([*given, *['0'] * (4 - len(given))])}/{8 * len(given)}`"
    return "must be an address or network, such as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32"


IpNetwork = Annotated[
    IPv4Network | IPv6Network, BeforeValidator(_read_network), WithJsonSchema({"type": "string", "format": "ipnetwork"})
]


class Section(BaseModel):
    """A part of the file. Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
