"""Answers that are not known at once, such as those for which a shared store is asked."""

import asyncio
from collections.abc import Awaitable, Callable


class LateAnswers:
    """Waits for answers; those that are ready at the same time are handed over together."""

    def __init__(self, respond: Callable[[list[tuple[int, bytes]]], None]) -> None:
        """``respond`` takes call ids and their answers, on the event loop."""
        self._respond = respond
        self._waiting: set[asyncio.Task[None]] = set()
        self._ready: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call_id: int, answer: Awaitable[bytes]) -> None:
        """Respond to a call once its answer is there."""
        task = asyncio.ensure_future(self._wait(call_id, answer))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def cancel(self) -> None:
        """Wait no longer."""
        for task in self._waiting:
            task.cancel()

    async def _wait(self, call_id: int, answer: Awaitable[bytes]) -> None:
        told = await answer
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._ready.append((call_id, told))

    def _hand_over(self) -> None:
        answers, self._ready = self._ready, []
        self._respond(answers)
