"""A server on one of the transports that answers every check with the same bytes: the ceiling of that transport.

Written straight on the libraries and not on our transports, so that whatever those cost shows in the ratio.
Run as ``python -m bench.constant TRANSPORT ANSWER_FILE``; prints its address.
"""

import sys
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import uvloop

CHECK_PATH: Final = "/envoy.service.auth.v3.Authorization/Check"
_BATCH: Final = 64


def serve_native(answer: bytes) -> None:
    """pygrpc-native's batch interface, until killed."""
    from pygrpc_native import NativeGrpcFront

    front = NativeGrpcFront("127.0.0.1:0", [(CHECK_PATH, False)], io_threads=1)
    front.start()
    print(f"127.0.0.1:{front.bound_port}", flush=True)
    while (events := front.recv_batch(_BATCH)) is not None:
        for _kind, call_id, _method_id, payload, _client in events:
            if payload is not None:
                front.respond(call_id, answer)


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
    if transport == "native":
        serve_native(answer)
    else:
        uvloop.run(serve_grpcio(answer))


if __name__ == "__main__":
    main()
