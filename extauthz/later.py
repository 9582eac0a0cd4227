"""A value that is not there yet, without a task that waits for it: a check that asks a shared store is one of many."""

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Later(Generic[Value]):
    """Comes once. Whoever wants it says, before or after, what is to be done with it."""

    __slots__ = ("_come", "_do")

    def __init__(self) -> None:
        self._come: tuple[Value] | None = None
        self._do: Callable[[Value], object] | None = None

    def come(self, value: Value) -> None:
        """Here it is."""
        do, self._do = self._do, None  # what is done may know us: a circle that only a collection would free
        if do is None:
            self._come = (value,)
        else:
            do(value)

    def then(self, do: Callable[[Value], object]) -> None:
        """Call this with the value, once it comes or, where it has, now. There is one taker."""
        if self._come is None:
            self._do = do
        else:
            do(self._come[0])
