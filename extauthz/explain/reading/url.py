"""A URL to what goes on the wire: host and target, nothing decoded."""

from typing import Final

from extauthz.client.signer import path_and_query

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def parts_of(url: str) -> tuple[str, str]:
    """The host as clients write it, without the scheme's own port, and path with query."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("#")[0].partition("?")[0].partition("/")[0].rpartition("@")[2]
    host = authority.removesuffix(_DEFAULT_PORTS.get(scheme.lower(), ":"))
    path, query = path_and_query(url)
    return host, f"{path}?{query}" if query or "?" in rest.partition("#")[0] else path
