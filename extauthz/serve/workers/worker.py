"""One worker: a process that answers checks and does what its supervisor says over a pipe.

The supervisor alone reads the configuration files; a worker gets their text, so that all workers serve the same one.
A message is a JSON object with ``id`` and ``ask``; the answer has the same ``id`` and says how the worker is. Its
numbers have a pipe of their own. Nobody else can reach either.
"""

import asyncio
import json
import logging
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import uvloop

from extauthz.config import ConfigError, ServiceConfig, load
from extauthz.config.place import Place
from extauthz.config.source import Text
from extauthz.pauses import building, give_way_soon, release, settle
from extauthz.serve.process_log import log_to_stderr
from extauthz.serve.service import Service
from extauthz.serve.workers.numbers import NumbersSource
from extauthz.wire.failure import describe

_log: Final = logging.getLogger("extauthz")


class Worker:
    """Serves until told to stop, by its supervisor or by SIGTERM, or until the supervisor is gone."""

    def __init__(
        self, config: ServiceConfig, place: Place, orders: Connection, numbers: Connection, start_id: int
    ) -> None:
        self._service = Service(config, place)
        self._config = config
        self._pipe = orders
        self._numbers = NumbersSource(numbers, self._service.registry)
        self._start_id = start_id
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start, serve, stop. Raises OSError when an address cannot be bound."""
        await self.start()
        await self._stopping.wait()
        await self.stop()

    async def start(self) -> None:
        """Open the ports and begin to listen to the supervisor."""
        give_way_soon()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        await self._service.start()
        settle()
        self._numbers.start()
        send(self._pipe, {"id": self._start_id, **self._report()})
        threading.Thread(target=self._obey, args=(loop,), name="supervisor", daemon=True).start()

    async def stop(self) -> None:
        """Drain, finish what is in flight, and leave the last numbers behind."""
        await self._service.stop()
        try:
            await asyncio.to_thread(self._numbers.farewell)
        except OSError:
            _log.warning("the supervisor is gone")

    def _obey(self, loop: asyncio.AbstractEventLoop) -> None:
        while (message := receive(self._pipe)) is not None:
            # By way of the event loop, so that an answer proves that it turns.
            asked = asyncio.run_coroutine_threadsafe(self._answer(message), loop)
            try:
                answer = asked.result()
            except ConfigError as error:
                answer = {"error": str(error)}
            except Exception as error:
                answer = {"error": describe(error)}
            try:
                send(self._pipe, {"id": message["id"], **answer})
            except OSError:
                break
        loop.call_soon_threadsafe(self._stopping.set)

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["ask"] == "stop":
            self._stopping.set()
        elif message["ask"] == "reload":
            await asyncio.to_thread(self._reload, message["texts"])
        return self._report()

    def _reload(self, texts: tuple[Text, ...]) -> None:
        with building():
            config = load(self._config.path, texts=texts)
            self._service.apply(config)
            settle()
            replaced, self._config = self._config.lists(), config
            release(*replaced)

    def _report(self) -> dict[str, Any]:
        return {"state": self._service.readiness()}


def send(pipe: Connection, message: dict[str, Any], texts: tuple[Text, ...] = ()) -> None:
    """Send one message, and what stands in files after it, in pieces. Raises OSError when the other side is gone."""
    pipe.send_bytes(json.dumps(message | {"texts": [len(text) for text in texts]} if texts else message).encode())
    for text in texts:
        for piece in text:
            pipe.send_bytes(piece.encode())


def receive(pipe: Connection) -> dict[str, Any] | None:
    """Wait for one message, whose ``texts`` are those that were sent with it; None when the other side is gone."""
    try:
        message: dict[str, Any] = json.loads(pipe.recv_bytes())
        message["texts"] = tuple(
            tuple(pipe.recv_bytes().decode() for _ in range(pieces)) for pieces in message.get("texts", ())
        )
    except (EOFError, OSError):
        return None
    return message


def first_order(pipe: Connection) -> dict[str, Any] | None:
    """Wait for the order to start; None when it never comes. A scrape, or the end of the service, may come before."""
    while (order := receive(pipe)) is not None and order["ask"] != "start":
        try:
            send(pipe, {"id": order["id"], "state": {"ready": False}})
        except OSError:
            return None
        if order["ask"] == "stop":
            return None
    return order


def main(arguments: list[str]) -> int:
    """Be a worker: ``INDEX COUNT ORDERS NUMBERS``, the last two file descriptors. No command for people."""
    index, count, orders, numbers = map(int, arguments)
    for signum in (signal.SIGINT, signal.SIGHUP):  # sent to the whole terminal; the supervisor knows what to do
        signal.signal(signum, signal.SIG_IGN)
    log_to_stderr(f"worker {index}: ")
    pipe = Connection(orders)
    order = first_order(pipe)
    if order is None:
        return 0
    try:
        config = load(Path(order["path"]), texts=order["texts"])
        uvloop.run(_serve(config, Place(index, count), pipe, Connection(numbers), order["id"]))
    except (ConfigError, OSError, ModuleNotFoundError) as error:
        send(pipe, {"id": order["id"], "error": str(error)})
        return 1
    except Exception as error:
        _log.error("worker failed: %s", describe(error))
        return 1
    return 0


async def _serve(config: ServiceConfig, place: Place, orders: Connection, numbers: Connection, start_id: int) -> None:
    await Worker(config, place, orders, numbers, start_id).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
