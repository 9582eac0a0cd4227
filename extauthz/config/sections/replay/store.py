"""``replay``: what is remembered of one-time values, for how long, and whether replicas share it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from extauthz.config.names import Section
from extauthz.config.problems import KeyPath, Report
from extauthz.config.sections.digest import VENDORS_WINDOW, Digest, Window
from extauthz.config.sections.replay.redis import Redis, check_redis


class Replay(Section):
    """Where nonces and jtis are remembered.

    ```yaml
    capacity: 1000000
    jti_capacity: 1000000
    share: 0.5
    longest_window: 900
    refuse_signed_before_start: true
    scope: per_worker
    ```

    ```yaml
    redis: {url: {file: redis-url}, capacity: 4000000}
    ```
    """

    capacity: Annotated[int, Field(ge=1)] = Field(
        1_000_000, description="live nonces in the memory of a process; when full, checks get 503"
    )
    jti_capacity: Annotated[int, Field(ge=1)] = Field(1_000_000, description="live jtis, which have room of their own")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="of that room one app (of jtis: one plug-in) gets at most; 1: all, where there is one app"
    )
    longest_window: Window = Field(
        VENDORS_WINDOW,
        description="nonces are kept as if some API had this `digest.window`; beside `redis` no window may be longer",
    )
    refuse_signed_before_start: bool = Field(
        False, description="nonces in memory end with the process: refuse timestamps from before its start"
    )
    redis: Redis | None = Field(None, description="the shared store; without it, the memory of each process")
    scope: Literal["service", "per_worker"] = Field(
        "service", description="per_worker: no shared store, and a nonce may pass once in each worker and replica"
    )


def check_replay(section: Replay, stated: Iterable[tuple[KeyPath, Digest]], base: Path, report: Report) -> None:
    """Report what is wrong with `replay`.

    ``stated`` are the `digest` sections that state a window, each with its place; ``base`` is the folder of the
    configuration file.
    """
    if section.redis is None:
        return
    if section.scope == "per_worker":
        report(("replay", "scope"), "per_worker and a shared store exclude each other; drop one of them")
    if section.refuse_signed_before_start:
        report(("replay", "refuse_signed_before_start"), "is for nonces in memory; a shared store outlives the process")
    # Replicas take up a new window one after the other; until all have, one must not outlive another's nonces.
    longest = section.longest_window
    for place, digest in stated:
        if digest.window > longest:
            report(
                (*place, "window"),
                f"is longer than `replay.longest_window` ({longest.total_seconds():.0f} s), for which replicas keep "
                "nonces in the shared store; raise that first, on every replica",
            )
    check_redis(section.redis, base, report)
