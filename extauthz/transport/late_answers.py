"""Answers that are not known at once, such as those for which a shared store is asked."""

import asyncio
from collections.abc import Callable

from extauthz.later import Later, Value


class LateAnswers:
    """Waits for answers; those that come in the same turn of the event loop are handed over together."""

    def __init__(self, respond: Callable[[list[tuple[int, bytes]]], None]) -> None:
        """``respond`` takes call ids and their answers, on the event loop."""
        self._respond = respond
        self._waiting = 0
        self._ready: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return self._waiting

    def add(self, call_id: int, answer: Later[bytes]) -> None:
        """Respond to a call once its answer is there."""
        self._waiting += 1
        answer.then(lambda told: self._come(call_id, told))

    def _come(self, call_id: int, told: bytes) -> None:
        self._waiting -= 1
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._ready.append((call_id, told))

    def _hand_over(self) -> None:
        answers, self._ready = self._ready, []
        self._respond(answers)


async def until_it_comes(later: Later[Value]) -> Value:
    """The value, for whoever has a task that can wait."""
    waiting: asyncio.Future[Value] = asyncio.get_running_loop().create_future()

    def come(value: Value) -> None:
        if not waiting.done():  # else whoever waited was cancelled
            waiting.set_result(value)

    later.then(come)
    return await waiting
