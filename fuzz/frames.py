"""What strangers say to the front: HTTP/2 and gRPC as they should be, and as they should not."""

import random
from collections.abc import Iterator
from typing import Final

import hpack

from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH

DATA, HEADERS, RST, CONTINUATION = 0, 1, 3, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def message() -> bytes:
    """A check that is allowed."""
    request = pb.CheckRequest()
    http = request.attributes.request.http
    http.id, http.method, http.path, http.host = "1", "GET", "/open", "api.test"
    return request.SerializeToString()


class Conversation:
    """What is said on one connection, and on which streams a check was asked and not taken back."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._encoder = hpack.Encoder()
        self._stream = 1
        self.is_sound = True
        """Whether all that was said means what it was meant to."""
        self.on_check_path: set[int] = set()
        self.taken_back: set[int] = set()

    def parts(self) -> Iterator[bytes]:
        """Pieces, in the order in which they are sent."""
        yield self._opening()
        for _ in range(self._dice.randrange(1, 12)):
            # What is not a call may be taken for a part of one, so from then on nobody knows what was asked.
            make = self._dice.choice((self._call, self._call, self._call, self._call, self._noise, self._control))
            data = make()
            if self._dice.random() < 0.05:
                data, self.is_sound = self._flip(data), False
            if self._dice.random() < 0.05:
                data, self.is_sound = data[: self._dice.randrange(len(data) + 1)], False
            self.is_sound = self.is_sound and make != self._noise
            if not self.is_sound:
                self.on_check_path.clear()
            cut = self._dice.randrange(len(data) + 1) if self._dice.random() < 0.3 else len(data)
            yield data[:cut]
            yield data[cut:]

    def _opening(self) -> bytes:
        settings = b"".join(
            self._dice.randrange(0, 10).to_bytes(2, "big")
            + self._dice.choice((0, 1, 100, 16_384, 1 << 31)).to_bytes(4, "big")
            for _ in range(self._dice.randrange(3))
        )
        opening = PREFACE + frame(4, 0, 0, settings if self._dice.random() < 0.3 else b"")
        return self._flip(opening) if self._dice.random() < 0.02 else opening

    def _call(self) -> bytes:
        stream = self._stream
        self._stream += 2 * self._dice.choice((1, 1, 1, 5))
        fields = self._headers()
        if (":path", CHECK_PATH) in fields:
            self.on_check_path.add(stream)
        block = self._encoder.encode([hpack.NeverIndexedHeaderTuple(*one) for one in fields])
        ends = self._dice.random() < 0.1
        out = self._header_frames(stream, block, END_STREAM if ends else 0)
        if not ends:
            out += self._body(stream)
        if self._dice.random() < 0.15:
            self.taken_back.add(stream)
            out += frame(RST, 0, stream, self._dice.randrange(15).to_bytes(4, "big"))
        return out

    def _headers(self) -> list[tuple[str, str]]:
        dice = self._dice
        path = (
            CHECK_PATH
            if dice.random() < 0.8
            else dice.choice(("/grpc.health.v1.Health/Check", "/", "*", CHECK_PATH + "x"))
        )
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", dice.choice(("x", "a|b||c", "a b", ""))),
        ]
        fields += [("content-type", dice.choice(("application/grpc", "application/grpc+proto", "text/html", "")))]
        extras = (
            ("te", "trailers"), ("grpc-timeout", dice.choice(("200m", "1u", "99999999H", "x", "0S"))),
            ("grpc-encoding", dice.choice(("gzip", "identity"))), ("x-long", "y" * dice.randrange(20_000)),
            ("content-length", str(dice.randrange(200))), ("traceparent", "\xff" * dice.randrange(60)),
        )  # fmt: skip
        return fields + [one for one in extras if dice.random() < 0.15]

    def _header_frames(self, stream: int, block: bytes, flags: int) -> bytes:
        if self._dice.random() < 0.2:
            cut = self._dice.randrange(len(block) + 1)
            return frame(HEADERS, flags, stream, block[:cut]) + frame(CONTINUATION, END_HEADERS, stream, block[cut:])
        if self._dice.random() < 0.1:
            padding = self._dice.randrange(256)
            padded = bytes([padding]) + block + bytes(padding)
            return frame(HEADERS, flags | END_HEADERS | PADDED, stream, padded)
        out = b""
        for at in range(0, len(block), 16_384):
            kind, given = (CONTINUATION, 0) if at else (HEADERS, flags)
            ends = END_HEADERS if at + 16_384 >= len(block) else 0
            out += frame(kind, given | ends, stream, block[at : at + 16_384])
        return out

    def _body(self, stream: int) -> bytes:
        dice = self._dice
        asked = message()
        prefix = b"\0" + len(asked).to_bytes(4, "big")
        body = dice.choice((
            prefix + asked, prefix + asked, prefix + asked, b"", prefix, prefix + asked[:-1], 2 * (prefix + asked),
            b"\1" + prefix[1:] + asked, b"\0\xff\xff\xff\xff", prefix + dice.randbytes(len(asked)),
            prefix + self._flip(asked), dice.randbytes(dice.randrange(40)),
        ))  # fmt: skip
        cuts = sorted(dice.randrange(len(body) + 1) for _ in range(dice.choice((0, 0, 1, 3))))
        pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        last = END_STREAM if dice.random() < 0.9 else 0
        return b"".join(
            frame(DATA, last if number == len(pieces) - 1 else 0, stream, piece) for number, piece in enumerate(pieces)
        )

    def _noise(self) -> bytes:
        dice = self._dice
        stream = dice.choice((0, 1, self._stream, self._stream + 1, 2, 1 << 31))
        return frame(dice.randrange(14), dice.randrange(256), stream, dice.randbytes(dice.randrange(64)))

    def _control(self) -> bytes:
        dice = self._dice
        return dice.choice((
            frame(6, 0, 0, b"12345678"), frame(8, 0, 0, b"\0\0\0\1"), frame(4, 0, 0, b""), frame(4, 1, 0, b""),
            frame(8, 0, max(1, self._stream - 2), (1 << 30).to_bytes(4, "big")),
            frame(2, 0, self._stream, b"\0\0\0\0\x10"),
        ))  # fmt: skip

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._dice.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._dice.randrange(8)]) + data[at + 1 :]
