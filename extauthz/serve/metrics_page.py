"""The page that Prometheus reads: built off the way of everything else, one at a time, however many ask for it."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, generate_latest

from extauthz.families import Unhurried


class MetricsPage:
    """The numbers of a registry as text. Those who ask while a page is being built share the next one.

    After a page there is a rest as long as it took, so that nobody who asks without end makes a core busy with it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = Unhurried(registry)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._one_at_a_time = asyncio.Lock()
        self._coming: asyncio.Task[bytes | Exception] | None = None
        """A page that nobody has begun to build."""
        self._not_before_s = 0.0

    async def get(self) -> bytes:
        """A page whose numbers are from after this call. Raises what a collector raises."""
        if self._coming is None:
            self._coming = asyncio.create_task(self._build())
        page = await asyncio.shield(self._coming)  # who gives up does not take it from the others
        if isinstance(page, Exception):
            raise page
        return page

    def close(self) -> None:
        """Build no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _build(self) -> bytes | Exception:
        async with self._one_at_a_time:
            await asyncio.sleep(self._not_before_s - time.monotonic())
            self._coming = None
            began_s = time.monotonic()
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, generate_latest, self._registry)
            except Exception as error:
                return error
            finally:
                ended_s = time.monotonic()
                self._not_before_s = ended_s + (ended_s - began_s)
