"""A curl command line, as people paste it, to the request that curl would send (curl 8, its manual page)."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

from extauthz.explain.reading.unreadable import UnreadableRequest
from extauthz.explain.reading.url import parts_of
from extauthz.wire.asking import HttpRequest

_FORM: Final = "application/x-www-form-urlencoded"
_ANSI_C: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'")
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_SHORT_ALONE: Final = frozenset("isSvkLfNgO#46")
_ALONE: Final = frozenset(
    {
        "--include", "--silent", "--show-error", "--verbose", "--insecure", "--location", "--fail", "--no-buffer",
        "--globoff", "--progress-bar", "--remote-name", "--ipv4", "--ipv6", "--http1.1", "--http1.0", "--http2",
        "--http2-prior-knowledge", "--path-as-is", "--fail-with-body", "--no-progress-meter",
    }
)  # fmt: skip
"""Options without a value that do not change the request."""
_WITH_VALUE: Final = frozenset(
    {
        "-o", "-m", "-x", "-E", "-w", "-D", "-c", "--output", "--max-time", "--connect-timeout", "--proxy", "--cacert",
        "--cert", "--key", "--write-out", "--retry", "--dump-header", "--cookie-jar", "--resolve", "--connect-to",
        "--interface", "--limit-rate", "--max-redirs",
    }
)  # fmt: skip
"""The same with one."""
_SHORT_WITH_VALUE: Final = frozenset("XHdAebFomxwDcE")


class _Command:
    """What the options seen so far say."""

    def __init__(self) -> None:
        self.method = ""
        self.url = ""
        self.headers: list[tuple[str, str]] = []
        self.removed: set[str] = set()
        self.data: list[bytes] = []
        self.implied: dict[str, str] = {}
        self.in_query = False
        self.is_head = False

    def header(self, line: str) -> None:
        name, colon, value = line.partition(":")
        if not colon and line.endswith(";"):
            self.headers.append((line[:-1].strip(), ""))
        elif colon and not value.strip():
            self.removed.add(name.strip().lower())
        elif colon:
            self.headers.append((name.strip(), value.strip()))

    def body(self, text: str) -> None:
        content = _file(text[1:]) if text.startswith("@") else _bytes(text)
        self.data.append(content.replace(b"\r", b"").replace(b"\n", b"") if text.startswith("@") else content)

    def binary(self, text: str) -> None:
        self.data.append(_file(text[1:]) if text.startswith("@") else _bytes(text))

    def raw(self, text: str) -> None:
        self.data.append(_bytes(text))

    def encoded(self, text: str) -> None:
        name, equals, value = text.partition("=")
        if not equals:
            name, value = "", text
        self.data.append(_bytes((f"{name}=" if name else "") + quote_plus(value, errors="surrogateescape")))

    def json(self, text: str) -> None:
        self.binary(text)
        self.implied |= {"Content-Type": "application/json", "Accept": "application/json"}

    def set_method(self, text: str) -> None:
        self.method = text

    def set_url(self, text: str) -> None:
        self.url = text

    def multipart(self, _: str) -> None:
        raise UnreadableRequest(
            "curl -F makes up a boundary for each call: give the raw request that it sent (curl -v)"
        )

    def options(self) -> dict[str, Callable[[str], None]]:
        """What each option with a value does."""
        single: dict[str, Callable[[str], None]] = {
            "-A": lambda text: self.header(f"User-Agent: {text}"),
            "-e": lambda text: self.header(f"Referer: {text}"),
            "-b": lambda text: self.header(f"Cookie: {text}"),
            "-X": self.set_method, "-H": self.header, "-d": self.body, "-F": self.multipart,
        }  # fmt: skip
        return single | {
            "--request": self.set_method, "--header": self.header, "--data": self.body, "--data-ascii": self.body,
            "--data-binary": self.binary, "--data-raw": self.raw, "--data-urlencode": self.encoded, "--json": self.json,
            "--form": self.multipart, "--user-agent": single["-A"], "--referer": single["-e"],
            "--cookie": single["-b"], "--url": self.set_url,
        }  # fmt: skip

    def request(self) -> HttpRequest:
        """The request that curl sends."""
        if not self.url:
            raise UnreadableRequest("the curl command line has no URL")
        host, target = parts_of(self.url if "://" in self.url else f"http://{self.url}")
        body = b"&".join(self.data)
        if self.in_query and body:
            target += ("&" if "?" in target else "?") + body.decode("utf-8", "surrogateescape")
            body = b""
        method = self.method or ("HEAD" if self.is_head else "POST" if body else "GET")
        given = {name.lower() for name, _ in self.headers}
        implied = {"User-Agent": "curl/8", "Accept": "*/*"} | ({"Content-Type": _FORM} if body else {}) | self.implied
        added = [(n, v) for n, v in implied.items() if n.lower() not in given and n.lower() not in self.removed]
        hosts = [value for name, value in self.headers if name.lower() == "host"]
        headers = [(name, value) for name, value in [*added, *self.headers] if name.lower() != "host"]
        sent = tuple((name, _bytes(value)) for name, value in headers)
        return HttpRequest(method, target, hosts[0] if hosts else host, sent, body)


def read_curl(line: str) -> HttpRequest:
    """The request of a command line. Raises UnreadableRequest. What stands behind the first command is not read."""
    plain = _ANSI_C.sub(lambda found: shlex.quote(_unescaped(found[1])), line.strip().replace("\r\n", "\n"))
    try:
        words = shlex.split(_first_command(plain), posix=True)
    except ValueError as error:
        raise UnreadableRequest(f"the curl command line cannot be split into words: {error}") from None
    command = _Command()
    options = command.options()
    rest = iter(words[1:])
    for word in rest:
        if word in ("-G", "--get"):
            command.in_query = True
        elif word in ("-I", "--head"):
            command.is_head = True
        elif word == "--compressed":
            command.implied["Accept-Encoding"] = "deflate, gzip, br, zstd"
        elif word in options:
            options[word](_value(rest, word))
        elif word in _WITH_VALUE:
            _value(rest, word)
        elif word.startswith("--") and "=" in word and word.partition("=")[0] in options:
            options[word.partition("=")[0]](word.partition("=")[2])
        elif word in _ALONE or (word[:1] == "-" and _SHORT_ALONE.issuperset(word[1:])):
            continue
        elif len(word) > 2 and word[0] == "-" and word[1] in _SHORT_WITH_VALUE:
            options.get(word[:2], _ignore)(word[2:])
        elif word.startswith("-"):
            raise UnreadableRequest(f"the option {word} of curl is not understood; give the raw request (curl -v)")
        else:
            command.set_url(word)
    return command.request()


def _first_command(text: str) -> str:
    """Up to the line end that no backslash and no quote continues, on one line."""
    kept: list[str] = []
    quote = ""
    place = 0
    while place < len(text):
        sign = text[place]
        if sign == "\\" and quote != "'":
            if text[place + 1 : place + 2] != "\n":
                kept.append(text[place : place + 2])
            place += 2
            continue
        if sign in "'\"":
            quote = "" if quote == sign else quote or sign
        elif sign == "\n" and not quote:
            break
        kept.append(sign)
        place += 1
    return "".join(kept)


def _value(rest: Iterator[str], option: str) -> str:
    value = next(rest, None)
    if value is None:
        raise UnreadableRequest(f"the option {option} of curl has no value")
    return value


def _ignore(_: str) -> None:
    return


def _unescaped(text: str) -> str:
    """What a shell makes of the inside of ``$'...'``."""
    return _ESCAPE.sub(lambda found: _of_escape(found[1]), text)


def _of_escape(escape: str) -> str:
    if escape[0] == "u" and len(escape) == 5:
        return chr(int(escape[1:], 16))
    if (escape[0] == "x" and len(escape) > 1) or escape[0] in "01234567":
        number = int(escape[1:], 16) if escape[0] == "x" else int(escape, 8) & 0xFF
        return bytes([number]).decode("utf-8", "surrogateescape")
    return _ESCAPED.get(escape, escape)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UnreadableRequest(f"cannot read {name}, which the curl command line names: {error.strerror}") from None
