"""The rehearsal: the lines of a decision log, one after the other, in memory that does not grow with their number."""

import gzip
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final, cast

from extauthz.domain.snapshot import Snapshot
from extauthz.rehearse.again import again
from extauthz.rehearse.recorded import LONGEST_LINE, Reader
from extauthz.rehearse.tally import Tally

_TOLD_EVERY: Final = 2048
"""Lines between two reports of how far it has come."""


def rehearse(
    logs: Iterable[Path],
    snapshot: Snapshot,
    at_ms: int | None = None,
    registry_missing: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Decide every line again, see ``again``. ``progress`` is told how many bytes were read since the last time.

    A file that ends in ``.gz`` is unpacked; ``-`` is standard input. Raises OSError.
    """
    tally, reader = Tally(), Reader()
    for log in logs:
        with _opened(log) as opened:
            unreported = 0
            while line := opened.readline(LONGEST_LINE):
                unreported += len(line)
                tally.lines += 1
                recorded = reader.read(line)
                if recorded is None:
                    tally.unreadable += 1
                else:
                    tally.add(recorded, again(recorded, snapshot, at_ms, registry_missing))
                if not tally.lines % _TOLD_EVERY:
                    progress(unreported)
                    unreported = 0
            progress(unreported)
    return tally


def _opened(log: Path) -> BinaryIO:
    if str(log) == "-":
        return sys.stdin.buffer
    if log.suffix == ".gz":
        return cast(BinaryIO, gzip.open(log, "rb"))
    return log.open("rb", buffering=1 << 20)
