"""The gateway under test: a real Envoy, the service as it is shipped, and an echo backend, spoken to in raw bytes."""

import base64
import hashlib
import hmac
import json
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from demo.keys import make_keys
from demo.stack import ROOT, Stack, free_ports, load_yaml

Found = TypeVar("Found")
Header = tuple[str, str | bytes]
KEY, SECRET = "demo-app-key-0001", "demo-app-secret-0001"
CODE = "APPCODE demo-app-code-0001"
FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Answer:
    """What a caller got, to the byte."""

    status: int
    headers: list[tuple[str, bytes]]
    body: bytes
    head: bytes
    """Status line and header lines as they came."""

    def header(self, name: str) -> str:
        """The one value of a header as text; empty when it is missing."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0].decode() if values else ""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.header("x-ca-error-code")

    @property
    def message(self) -> str:
        return self.header("x-ca-error-message")

    @property
    def request_id(self) -> str:
        return self.header("x-ca-request-id")

    @property
    def seen(self) -> dict[str, Any]:
        """What the backend received. Fails when the request did not get there."""
        assert self.status == 200, f"refused: {self.status} {self.code} {self.message}"
        shown = json.loads(self.body)
        assert isinstance(shown, dict)
        return shown

    @property
    def seen_headers(self) -> dict[str, str]:
        headers: dict[str, str] = self.seen["headers"]
        return headers


class Gateway:
    """A running stack and what tests need to ask of it."""

    def __init__(self, stack: Stack, private_jwk: dict[str, Any]) -> None:
        self.stack = stack
        self.private_jwk = private_jwk

    def call(
        self,
        method: str,
        target: str | bytes,
        headers: Sequence[Header] = (),
        body: bytes = b"",
        network: str = "internet",
        host: str = "127.0.0.1",
    ) -> Answer:
        """Send exactly these headers, in this order, beside Host, Connection and (for a body) Content-Length."""
        lines = [f"{method} ".encode() + (target if isinstance(target, bytes) else target.encode()) + b" HTTP/1.1"]
        lines.append(b"Host: " + host.encode())
        lines += [
            name.encode() + b": " + (text if isinstance(text, bytes) else text.encode()) for name, text in headers
        ]
        named = {name.lower() for name, _ in headers}
        if body and not named & {"content-length", "transfer-encoding"}:
            lines.append(b"Content-Length: " + str(len(body)).encode())
        if "connection" not in named:
            lines.append(b"Connection: close")
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body, network)

    def send(self, raw: bytes, network: str = "internet") -> Answer:
        """Send bytes and read the answer: as long as it says it is, else until Envoy closes."""
        port = self.stack.ports.vpc if network == "vpc" else self.stack.ports.internet
        with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
            connection.sendall(raw)
            received = b""
            try:
                while not _is_complete(received) and (part := connection.recv(65536)):
                    received += part
            except ConnectionResetError:
                assert received, "Envoy reset the connection without an answer"
        return read_answer(received)

    def send_pipelined(self, raw: str) -> list[Answer]:
        """Send several requests on one connection, the last of which asks to close it."""
        with socket.create_connection(("127.0.0.1", self.stack.ports.internet), timeout=15) as connection:
            connection.sendall(raw.encode())
            received = b""
            while part := connection.recv(65536):
                received += part
        starts = [found.start() for found in re.finditer(rb"HTTP/1\.1 \d{3} ", received)]
        return [read_answer(received[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]

    def signed(self, method: str, target: str, network: str = "internet", **parts: Any) -> Answer:
        """Make a request that ``signed_headers`` signed."""
        body = parts.pop("body", b"")
        host = parts.pop("host", "127.0.0.1")
        return self.call(method, target, signed_headers(method, target, body=body, **parts), body, network, host)

    def decision(self, answer: Answer) -> dict[str, Any]:
        """The line of the decision log that belongs to an answer."""
        return self._line("decisions.jsonl", lambda line: line["request_id"] == answer.request_id)

    def reason(self, answer: Answer) -> str:
        """Why an answer is what it is, from the decision log."""
        assert answer.request_id, f"not an answer of ours: {answer.head!r}"
        return str(self.decision(answer)["reason"])

    def access_line(self, answer: Answer) -> dict[str, Any]:
        """The line of Envoy's own access log that belongs to an answer."""
        wanted = answer.request_id
        return self._line("access.log", lambda line: (line["decision"] or {}).get("decision_id") == wanted)

    def _line(self, file: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def search() -> dict[str, Any] | None:
            text = (self.stack.folder / file).read_text()
            complete = text[: text.rfind("\n") + 1].splitlines()
            return next((line for line in map(json.loads, reversed(complete)) if wanted(line)), None)

        return wait_for(search, f"a line in {file}")


def wait_for(search: Callable[[], Found | None], what: str, seconds: float = 15) -> Found:
    """What ``search`` finds, as soon as it finds it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = search()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def _is_complete(received: bytes) -> bool:
    # After an error of its own Envoy closes a second late. Answers to HEAD state a length and end without a body.
    head, ended, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(ended and length and len(body) >= int(length[1]))


def read_answer(received: bytes) -> Answer:
    """Parse one HTTP/1.1 answer."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.decode("latin-1").lower(), value.strip()))
    return Answer(int(status.split(b" ")[1]), headers, body, head)


def signed_headers(
    method: str,
    target: str,
    *,
    body: bytes = b"",
    resource: str | None = None,
    accept: str = "application/json",
    content_type: str = "",
    md5: str = "",
    date: str = "",
    extra: Sequence[Header] = (),
    extra_signed: Sequence[tuple[str, str | bytes]] = (),
    key: str = KEY,
    secret: str = SECRET,
    nonce: str | None = None,
    timestamp_ms: int | None = None,
    unsigned: Sequence[str] = (),
    stage: str = "",
) -> list[Header]:
    """A signature written down by hand: nothing here is shared with the code that verifies it.

    ``resource`` is the last part of the string to sign where it differs from ``target``. ``extra`` headers are sent;
    ``extra_signed`` are the header lines that are signed for them, which may differ on purpose.
    """
    named: dict[str, str] = {"X-Ca-Key": key}
    if nonce != "":
        named["X-Ca-Nonce"] = nonce or str(uuid.uuid4())
    if timestamp_ms != 0:
        named["X-Ca-Timestamp"] = str(timestamp_ms or time.time_ns() // 1_000_000)
    if stage:
        named["X-Ca-Stage"] = stage
    block: list[tuple[str, str | bytes]] = [(n, v) for n, v in named.items() if n not in unsigned]
    block = sorted([*block, *extra_signed])
    lines = [text.encode() for text in (method, accept, md5, content_type, date)]
    lines += [name.encode() + b":" + (text if isinstance(text, bytes) else text.encode()) for name, text in block]
    lines.append((target if resource is None else resource).encode())
    signature = base64.b64encode(hmac.new(secret.encode(), b"\n".join(lines), hashlib.sha256).digest()).decode()
    fixed = [("Accept", accept), ("Content-MD5", md5), ("Content-Type", content_type), ("Date", date)]
    return [
        *[(name, text) for name, text in fixed if text],
        *named.items(),
        *extra,
        ("X-Ca-Signature-Headers", ",".join(name for name, _ in block)),
        ("X-Ca-Signature", signature),
    ]


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@contextmanager
def running_gateway(
    folder: Path,
    bootstrap: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Gateway]:
    """Start a gateway on free ports, and stop it again."""
    (folder / ".demo").mkdir()
    private_jwk = make_keys(folder)
    stack = Stack(folder, free_ports(), bootstrap, config, concurrency=1, **options)
    stack.start()
    try:
        yield Gateway(stack, private_jwk)
    finally:
        stack.stop()


def shipped_config() -> dict[str, Any]:
    return load_yaml(ROOT / "demo" / "extauthz.yaml")


def patient_bootstrap() -> dict[str, Any]:
    """The shipped Envoy, which waits four times as long for the service: a busy test machine is no outage."""
    bootstrap = load_yaml(ROOT / "envoy" / "demo.yaml")
    for listener in bootstrap["static_resources"]["listeners"]:
        service = connection_manager(listener)["http_filters"][0]["typed_config"]["grpc_service"]
        service["timeout"] = "2s"
        service["retry_policy"]["retry_back_off"]["max_interval"] = "1.9s"
    for cluster in bootstrap["static_resources"]["clusters"]:
        for check in cluster.get("health_checks", []):
            check["timeout"] = "3s"
    return bootstrap


def bootstrap_without_header_mutation() -> dict[str, Any]:
    """The shipped Envoy, except that nobody but extauthz takes forged headers off, and that the VPC listener has
    Envoy's own idea of internal callers: there it believes the x-envoy-* headers of private addresses, ours among them.
    """
    bootstrap = patient_bootstrap()
    connection_manager(bootstrap["static_resources"]["listeners"][1])["internal_address_config"] = {
        "unix_sockets": False
    }
    for listener in bootstrap["static_resources"]["listeners"]:
        del connection_manager(listener)["early_header_mutation_extensions"]
    return bootstrap


def connection_manager(listener: dict[str, Any]) -> dict[str, Any]:
    """The HTTP connection manager of a listener in a bootstrap."""
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def config_for_tests(transport: str) -> dict[str, Any]:
    """The demo's configuration and a few APIs more, which Envoy's routes do not name."""
    config = shipped_config()
    config["transport"] = transport
    config["client_address"] = {"source": "x-envoy-external-address"}
    config["capture"] = {"folder": "captures", "key": base64.b64encode(bytes(range(32))).decode()}
    config["plugins"].append({"id": "from-the-office", "type": "ip_control", "allow": ["10.0.0.0/8"]})
    sha256 = {"internet": "digest", "vpc": "digest"}
    more = [
        {"id": "notes", "methods": ["GET", "POST", "PUT", "HEAD", "OPTIONS"], "path": "/notes", "auth": sha256},
        {"id": "strict", "methods": ["GET", "POST"], "path": "/strict", "auth": sha256, "digest": {"strict": "on"}},
        {
            "id": "demanding", "methods": ["GET"], "path": "/demanding", "auth": sha256,
            "digest": {"require_timestamp": True, "require_nonce": True, "require_signed": ["X-Ca-Timestamp"]},
        },
        {"id": "open-inside", "methods": ["GET"], "path": "/inside", "auth": {"internet": "digest", "vpc": "none"}},
        {
            "id": "office", "methods": ["GET"], "path": "/office",
            "auth": {"internet": "none", "vpc": "none"},
            "plugins": ["from-the-office"],
        },
        {"id": "one-vpc", "methods": ["GET"], "path": "/one-vpc", "auth": {"vpc": "none"}, "vpc_ids": ["vpc-1"]},
        {
            "id": "lenient", "methods": ["GET", "POST"], "path": "/lenient/{name}", "auth": sha256,
            "lenient_path_parameters": True,
        },
        {"id": "rpc", "methods": ["POST"], "path": "/demo.Orders/{method}", "auth": {"internet": "appcode"}},
    ]  # fmt: skip
    for api in more:
        config["apis"].append({"group": "demo", "stages": ["RELEASE", "PRE", "TEST"], **api})
    for name in ("orders", "report"):
        next(api for api in config["apis"] if api["id"] == name)["stages"].append("PRE")
    granted = [api["id"] for api in more]
    stages = ["RELEASE", "PRE", "TEST"]
    config["grants"].append({"app": "demo-app", "apis": granted, "stages": stages, "granted_by": "demo"})
    config["grants"].append({"app": "demo-app", "apis": ["orders", "report"], "stages": ["PRE"], "granted_by": "demo"})
    return config


def without(headers: Sequence[Header], *names: str) -> list[Header]:
    return [(name, text) for name, text in headers if name.lower() not in {one.lower() for one in names}]


def with_value(headers: Sequence[Header], name: str, text: str | bytes) -> list[Header]:
    return [(known, text if known.lower() == name.lower() else value) for known, value in headers]
