"""A signed request as a line for a shell."""

import shlex
from collections.abc import Mapping

from extauthz.client.signer import OutgoingRequest


def curl_line(request: OutgoingRequest, headers: Mapping[str, str]) -> str:
    """The signed request as a shell line. It works until its timestamp expires, and once if it carries a nonce."""
    words = ["curl", "-i"]
    if request.method == "HEAD":
        words.append("--head")
    elif request.method != "GET":
        words += ["-X", request.method]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}" if value else f"{name};"]
    if request.body:
        words += ["--data-binary", request.body.decode("utf-8", "surrogateescape")]
    return shlex.join([*words, request.url])
