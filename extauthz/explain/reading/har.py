"""An entry of a HAR file (HTTP Archive 1.2), as browsers and proxies save them."""

import base64
import binascii
import json
from typing import Any
from urllib.parse import urlencode

from extauthz.explain.reading.unreadable import UnreadableRequest
from extauthz.explain.reading.url import parts_of
from extauthz.wire.asking import HttpRequest


def read_har(given: bytes, entry: int) -> HttpRequest:
    """The request of a HAR file, an entry of one, or its ``request`` alone. Raises UnreadableRequest."""
    try:
        found: Any = json.loads(given)
        if isinstance(found, dict) and "log" in found:
            found = found["log"]["entries"]
        if isinstance(found, list):
            found = found[entry]
        request = found.get("request", found)
        return _request(request)
    except IndexError:
        raise UnreadableRequest("the HAR file has no such entry") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableRequest(f"this is no HAR entry: {type(error).__name__} {error}") from None


def _request(request: dict[str, Any]) -> HttpRequest:
    host, target = parts_of(request["url"])
    headers = [(str(one["name"]), str(one["value"]).encode("utf-8", "surrogateescape")) for one in request["headers"]]
    hosts = [value.decode() for name, value in headers if name.lower() in ("host", ":authority")]
    sent = tuple((name, value) for name, value in headers if name.lower() != "host" and not name.startswith(":"))
    return HttpRequest(str(request["method"]), target, hosts[0] if hosts else host, sent, _body(request))


def _body(request: dict[str, Any]) -> bytes:
    posted = request.get("postData") or {}
    text = posted.get("text")
    if text is None and posted.get("params"):
        return urlencode([(one["name"], one.get("value", "")) for one in posted["params"]]).encode()
    if posted.get("encoding", posted.get("_encoding")) == "base64":
        try:
            return base64.b64decode(text or "", validate=True)
        except binascii.Error:
            raise UnreadableRequest("the body in the HAR entry says it is base64, and is not") from None
    return str(text or "").encode("utf-8", "surrogateescape")
