"""The parts of an answer that are made for each request, to be joined to what holds for all of its kind."""

import json
import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from google.protobuf.message import Message

from extauthz.domain.header_names import X_CA_ERROR_MESSAGE, as_written
from extauthz.domain.header_value import is_header_value
from extauthz.domain.reason import Answer
from extauthz.wire.error_text import MAX_MESSAGE_BYTES, header_text
from extauthz.wire.generated import ext_authz_pb2 as pb

_MAX_GRPC_MESSAGE_BYTES: Final = 1024
_CUT_ESCAPE: Final = re.compile(r"%.?\Z")
_json_text = json.JSONEncoder(ensure_ascii=False).encode
_GRPC_MESSAGE_SAFE: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_OVERWRITE_IF_EXISTS_OR_ADD: Final = 2
_DO_NOT_APPEND: Final = pb.BoolValue(value=False)
_LENGTHS: Final = tuple([bytes([length]) for length in range(0x80)])
_LENGTH_DELIMITED: Final = 2


def _tag(message: type[Message], name: str) -> bytes:
    """The tag of a field that has a length. Field numbers below 16 take one byte, and all of these are."""
    return bytes([message.DESCRIPTOR.fields_by_name[name].number << 3 | _LENGTH_DELIMITED])


_IN_ANSWER_OK: Final = _tag(pb.CheckResponse, "ok_response")
_IN_OK_HEADERS: Final = _tag(pb.OkHttpResponse, "headers")
_IN_OK_REMOVED: Final = _tag(pb.OkHttpResponse, "headers_to_remove")
_IN_OPTION_HEADER: Final = _tag(pb.HeaderValueOption, "header")
_IN_HEADER_KEY: Final = _tag(pb.HeaderValue, "key")
_IN_HEADER_VALUE: Final = _tag(pb.HeaderValue, "value")
_OVERWRITES: Final = pb.HeaderValueOption(
    append=_DO_NOT_APPEND, append_action=_OVERWRITE_IF_EXISTS_OR_ADD
).SerializeToString()
_ERROR_MESSAGE: Final = as_written(X_CA_ERROR_MESSAGE)


def carry(headers: tuple[tuple[str, str], ...], misspelled: tuple[str, ...]) -> bytes:
    """What one allowed request alone carries upstream and loses, to be joined to what holds for all of its kind.

    Written by hand, a ``CheckResponse(ok_response=OkHttpResponse(headers, headers_to_remove))``: of a token that was
    never seen before this is new each time, and messages take five times as long. A test compares the two.
    """
    written = b""
    for name, value in headers:
        text = unchanged(value).encode()
        header = _named(name) + (_field(_IN_HEADER_VALUE, text) if text else b"")
        written += _field(_IN_OK_HEADERS, _field(_IN_OPTION_HEADER, header) + _OVERWRITES)
    for name in misspelled:
        written += _field(_IN_OK_REMOVED, name.encode())
    return _field(_IN_ANSWER_OK, written)


def _field(tag: bytes, value: bytes) -> bytes:
    """A field with a length (protobuf encoding, "Length-Delimited Records")."""
    length = len(value)
    if length < 0x80:
        return tag + _LENGTHS[length] + value
    encoded = bytearray()
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return tag + bytes(encoded) + value


@lru_cache(maxsize=1024)
def _named(name: str) -> bytes:
    return _field(_IN_HEADER_KEY, name.encode())


def tell(answer: Answer, request_id: str, grpc_caller: bool, link: str = "") -> bytes:
    """The message of a denial, in a header and in the body (JSON, or for gRPC the bare message), to be joined to it.

    ``link`` is a page on it, told behind the message and as ``help``; empty: none.

    The message may hold what this very caller sent, so it is made for each answer, and the rest of the denial only
    once. This part has no status, so it cannot change the denial's.
    """
    message = header_text(answer.message)
    if link:
        see = f" See {link}"
        message = header_text(answer.message, MAX_MESSAGE_BYTES - len(see)) + see
    told = pb.CheckResponse.FromString(_TOLD_TO_GRPC if grpc_caller else _TOLD)
    denied = told.denied_response
    denied.headers[0].header.value = message
    if grpc_caller:
        encoded = quote(message, safe=_GRPC_MESSAGE_SAFE)[:MAX_MESSAGE_BYTES]
        denied.headers[1].header.value = _CUT_ESCAPE.sub("", encoded)
        # Envoy makes the body the grpc-message, whatever the header says, and may write three bytes for one of ours.
        denied.body = message.encode()[:_MAX_GRPC_MESSAGE_BYTES].decode("utf-8", "ignore")
    else:
        page = f', "help": {_json_text(link)}' if link else ""
        denied.body = (
            f'{{"code": "{answer.code}", "message": {_json_text(message)}, "request_id": "{request_id}"{page}}}'
        )
    return told.SerializeToString()


def unchanged(value: str) -> str:
    """A value for the upstream, as it is. Raises ValueError, and so denies, where a header cannot hold it."""
    if not is_header_value(value):
        raise ValueError("not a header value")
    return value


def header_option(name: str, value: str) -> pb.HeaderValueOption:
    """A header that takes the place of every copy that the client sent."""
    # Envoy ignores append_action where it matters most and append elsewhere, so both say "overwrite".
    return pb.HeaderValueOption(
        header=pb.HeaderValue(key=name, value=value), append=_DO_NOT_APPEND, append_action=_OVERWRITE_IF_EXISTS_OR_ADD
    )


# Parsing a template and filling it in takes a third of the time that building the messages takes.


def _told_template(*names: str) -> bytes:
    denied = pb.DeniedHttpResponse(headers=[header_option(name, "") for name in names])
    return pb.CheckResponse(denied_response=denied).SerializeToString()


_TOLD: Final = _told_template(_ERROR_MESSAGE)
_TOLD_TO_GRPC: Final = _told_template(_ERROR_MESSAGE, "grpc-message")
