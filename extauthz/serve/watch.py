"""File watching: says when a configuration, or a file that it names, is no longer what it was."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import watchfiles

LOOK_ANYWAY_MS: Final = 2000
"""How often files are looked at without any event: network mounts send none, and a replaced folder ends them."""
_DEBOUNCE_MS: Final = 400
_log: Final = logging.getLogger("extauthz")
# It tells of every change in a folder: ten lines a second where the decision log lies beside the configuration.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

_Marks = dict[Path, tuple[int, int, int] | None]


async def watch_files(
    named: Callable[[], frozenset[Path]], changed: Callable[[], Awaitable[Any]], stopping: asyncio.Event
) -> None:
    """Await ``changed()`` after each change of a file in ``named()``, until ``stopping`` is set.

    Folders are watched, not files: editors replace files, and Kubernetes swaps a symbolic link beside them. What
    counts is whether a named file is different afterwards, so a log growing in the same folder means nothing.
    """
    # In a thread: of a hundred thousand apps each may have a file.
    marks = await asyncio.to_thread(_marks, named())
    while not stopping.is_set():
        folders = {file.parent for file in named() if file.parent.is_dir()}
        try:
            async for _ in _looks(folders, stopping):
                found = await asyncio.to_thread(_marks, named())
                if any(marks[file] != found[file] for file in marks.keys() & found.keys()):
                    await changed()
                # Marks from before the reload: a file that changed while it ran is seen at the next look.
                marks = found | await asyncio.to_thread(_marks, named() - found.keys())
                marks = {file: marks[file] for file in named()}
                if {file.parent for file in named()} != folders:
                    break
        except (OSError, RuntimeError) as error:
            _log.warning("watching files: %s; trying again", error)
            await asyncio.sleep(LOOK_ANYWAY_MS / 1000)


class WatchingThread:
    """Watches files for a process that has no event loop."""

    def __init__(self, named: Callable[[], frozenset[Path]], changed: Callable[[], None]) -> None:
        """``changed`` is called in the thread."""
        self._named = named
        self._changed = changed
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more, whether or not it was started."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        async def changed() -> None:
            self._changed()

        self._loop.run_until_complete(watch_files(self._named, changed, self._stopping))


def _looks(folders: set[Path], stopping: asyncio.Event) -> AsyncIterator[object]:
    """Something each time that a look at the files is due."""
    return watchfiles.awatch(
        *folders,
        watch_filter=None,
        debounce=_DEBOUNCE_MS,
        stop_event=stopping,
        rust_timeout=LOOK_ANYWAY_MS,
        yield_on_timeout=True,
        recursive=False,
    )


def _marks(files: frozenset[Path]) -> _Marks:
    return {file: _mark(file) for file in files}


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
