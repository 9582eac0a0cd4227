"""A server on one of the transports that answers every check with the same bytes: the ceiling of that transport.

Written straight on the libraries and not on our transports, so that whatever those cost shows in the ratio.
Run as ``python -m bench.constant TRANSPORT ANSWER_FILE``; prints its address.
"""

import select
import sys
import time
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import uvloop

CHECK_PATH: Final = "/envoy.service.auth.v3.Authorization/Check"
_BATCH: Final = 64


def serve_front(answer: bytes) -> None:
    """extauthz-front's batch interface, until killed."""
    from extauthz_front import Front

    front = Front(
        "127.0.0.1:0", check_path=CHECK_PATH, health_path="/health", now_s=time.monotonic(), checks=4096, bytes=1 << 26,
        connections=64, message_limit=1 << 21, metadata=[],
    )  # fmt: skip
    print(f"127.0.0.1:{front.port}", flush=True)
    poll = select.poll()
    poll.register(front.fileno(), select.POLLIN)
    while True:
        poll.poll()
        checks, _, _ = front.take(4096)
        for start in range(0, len(checks), _BATCH):
            front.respond([(check[0], answer) for check in checks[start : start + _BATCH]])


async def serve_grpcio(answer: bytes) -> None:
    """grpc.aio, until killed."""

    async def check(payload: bytes, context: Any) -> bytes:
        return answer

    handler = grpc.unary_unary_rpc_method_handler(check)
    service, _, method = CHECK_PATH[1:].partition("/")
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


def main() -> None:
    transport, answer = sys.argv[1], Path(sys.argv[2]).read_bytes()
    if transport == "front":
        serve_front(answer)
    else:
        uvloop.run(serve_grpcio(answer))


if __name__ == "__main__":
    main()
