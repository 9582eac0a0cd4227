"""Keys from providers, kept fresh in the background: a check reads what is there and never waits for any of this."""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from extauthz.domain.snapshot import Snapshot
from extauthz.domain.tokens.jwk import KeySet
from extauthz.domain.tokens.jwt import JwtPlugin
from extauthz.domain.tokens.key_source import KeySource, RemoteKeys
from extauthz.keys.document import discovery_url, lifetime_s, read_discovery, read_published_keys
from extauthz.keys.http import Fetched, FetchFailed, FetchResult, KeyClient

_LOOK_EVERY_S: Final = 0.1
"""How often a task looks whether a check has asked for a refresh."""
_LONGEST_START_S: Final = 10.0
_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
_FeedKey = tuple[str, RemoteKeys]
_log: Final = logging.getLogger("extauthz")


class KeyFeed:
    """The key set of one provider for one plug-in: fetched, kept fresh, served on while the provider is down."""

    def __init__(self, plugin_id: str, remote: RemoteKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self.plugin_id = plugin_id
        self.remote = remote
        self.results: Counter[FetchResult] = Counter()
        self.last_result: FetchResult | None = None
        self.attempted = asyncio.Event()
        """Set once a fetch has ended, well or not."""
        self.keys: KeySet | None = None
        """The last good set, as long as it is not too old."""
        self._clock = clock
        self._source = KeySource(None, remote)
        self._fetched_s: float | None = None
        self._due_s = -float("inf")
        self._next_asked_s = -float("inf")
        self._failures = 0
        self._jwks_uri = remote.jwks_uri
        self._body = b""
        self._note = ""
        self._client = KeyClient(remote)

    @property
    def had_keys(self) -> bool:
        """Whether a key set was ever obtained."""
        return self._fetched_s is not None

    @property
    def age_s(self) -> float | None:
        """Seconds since the last good fetch; None before the first."""
        return None if self._fetched_s is None else self._clock() - self._fetched_s

    def serve(self, source: KeySource) -> None:
        """Give the keys to this source from now on, beginning with what is there. Any thread may call this."""
        self._source = source
        while source.current is not self.keys:  # the task may just be publishing another set
            source.current = self.keys

    async def run(self) -> None:
        """Fetch whenever it is time, until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def step(self) -> None:
        """Drop keys that are too old, and fetch if it is time or a check has asked and may ask."""
        now_s = self._clock()
        if self.keys is not None and now_s - (self._fetched_s or 0) > self.remote.max_stale_s:
            _log.error("keys of plug-in %s are older than max_stale and no longer used", self.plugin_id)
            self._publish(None)
        asked = self._source.refresh_wanted and now_s >= self._next_asked_s
        if now_s < self._due_s and not asked:
            return
        if asked:
            self._next_asked_s = now_s + self.remote.refresh_interval_s
        self._source.refresh_wanted = False  # what is asked from here on is asked about the coming set
        await self._fetch()

    async def _fetch(self) -> None:
        try:
            keys, fetched = await self._get_keys()
        except FetchFailed as failure:
            self._failed(failure)
            return
        except Exception as error:
            # Whatever a library raises for what a provider sent: this task must outlive it.
            self._failed(FetchFailed(FetchResult.MALFORMED, type(error).__name__))
            return
        if self._failures or self.keys is None:
            _log.info("plug-in %s has %d keys, from %s", self.plugin_id, len(keys.keys), fetched.address)
        self._failures = 0
        self._record(FetchResult.OK)
        self._fetched_s = self._clock()
        # Replicas that started together should not ask together for ever.
        self._due_s = self._fetched_s + lifetime_s(fetched.headers, self.remote) * random.uniform(0.9, 1.0)  # noqa: S311
        self._publish(keys)

    async def _get_keys(self) -> tuple[KeySet, Fetched]:
        if self._jwks_uri is None and self.remote.oidc_issuer is not None:
            found = await self._client.get(discovery_url(self.remote.oidc_issuer))
            self._jwks_uri = read_discovery(found.body, self.remote.oidc_issuer)
        fetched = await self._client.get(self._jwks_uri or "")
        keys = self.keys
        if (
            keys is None or fetched.body != self._body
        ):  # the same keys stay the same set: remembered tokens depend on it
            read = await asyncio.to_thread(read_published_keys, fetched.body, self.remote.max_keys)
            keys, self._body = read.keys, fetched.body
            if read.note and read.note != self._note:
                _log.warning("keys of plug-in %s that are left out: %s", self.plugin_id, read.note)
            self._note = read.note
        return keys, fetched

    def _failed(self, failure: FetchFailed) -> None:
        self._record(failure.result)
        self._failures += 1
        self._jwks_uri = self.remote.jwks_uri  # the provider may have moved: discover anew
        wait_s = min(_FIRST_RETRY_S * 2 ** min(self._failures - 1, 10), _LONGEST_RETRY_S, self.remote.max_lifetime_s)
        self._due_s = self._clock() + wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        level = logging.WARNING if self.keys is not None else logging.ERROR
        _log.log(level, "keys of plug-in %s could not be fetched: %s", self.plugin_id, failure)

    def _record(self, result: FetchResult) -> None:
        self.results[result] += 1
        self.last_result = result
        self.attempted.set()

    def _publish(self, keys: KeySet | None) -> None:
        self.keys = keys
        self._source.current = keys


class KeyFetcher:
    """The feeds of every remote plug-in of the snapshot that is served."""

    def __init__(self) -> None:
        self._feeds: dict[_FeedKey, KeyFeed] = {}
        self._tasks: dict[_FeedKey, asyncio.Task[None]] = {}
        self._plugins: tuple[JwtPlugin, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def feeds(self) -> tuple[KeyFeed, ...]:
        """What is being kept fresh."""
        return tuple(self._feeds.values())

    def start(self, snapshot: Snapshot) -> None:
        """Begin to fetch, in the loop that runs this."""
        self._loop = asyncio.get_running_loop()
        self.follow(snapshot)

    def follow(self, snapshot: Snapshot) -> None:
        """Keep the keys of this snapshot's plug-ins fresh, and of no others. Call it before the snapshot is swapped in.

        A plug-in whose provider settings did not change has its keys when this returns, so a reload never costs a 503.
        Any thread may call this, one at a time.
        """
        plugins = {api.jwt.id: api.jwt for api in snapshot.gateway.apis.values() if api.jwt is not None}
        feeds: dict[_FeedKey, KeyFeed] = {}
        for plugin in plugins.values():
            remote = plugin.key_source.remote
            if remote is not None:
                key = (plugin.id, remote)
                feeds[key] = self._feeds.get(key) or KeyFeed(*key)
                feeds[key].serve(plugin.key_source)
        self._plugins, self._feeds = tuple(plugins.values()), feeds
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._match_tasks)

    async def first_attempts(self) -> None:
        """Wait until every provider has been asked once, but not long: then a start costs nobody a 503."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_START_S):
                await asyncio.gather(*(feed.attempted.wait() for feed in self.feeds))

    def _match_tasks(self) -> None:
        """One task for each feed, and none besides."""
        for key in self._tasks.keys() - self._feeds.keys():
            self._tasks.pop(key).cancel()
        for key in self._feeds.keys() - self._tasks.keys():
            self._tasks[key] = asyncio.create_task(self._feeds[key].run(), name=f"keys of {key[0]}")

    async def stop(self) -> None:
        """End every task."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._feeds = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether every plug-in that an API uses has had keys, and what is known about each."""
        details: dict[str, Any] = {}
        feeds = {feed.plugin_id: feed for feed in self.feeds}
        for plugin in self._plugins:
            feed = feeds.get(plugin.id)
            keys = plugin.key_source.current
            details[plugin.id] = {"keys": len(keys.keys) if keys else 0}
            if feed is not None:
                age_s = feed.age_s
                details[plugin.id] |= {
                    "age_s": None if age_s is None else round(age_s, 1),
                    "last_fetch": feed.last_result.value if feed.last_result else None,
                }
        return all(feed.had_keys for feed in feeds.values()), details
