"""Rules for what is meant for a while: shadow and capture that are on, and what they leave behind."""

from collections.abc import Iterator
from typing import Final

from extauthz.access.question import utc
from extauthz.config.problems import Warned
from extauthz.config.secrets import SecretUnresolved
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule, warned
from extauthz.observe.capture.configured import capture_folder
from extauthz.observe.capture.folder import CaptureFolder

shadow_on = warned(
    Warned.SHADOW_ON,
    Level.WARNING,
    why="What would be denied passes: nothing but the backend stands before whoever has no credential.",
    cure="take the entry out once `extauthz_would_deny_total` stays at 0",
)
shadow_ended = warned(
    Warned.SHADOW_ENDED,
    Level.WARNING,
    why="The entry does nothing any more, and what it let pass is denied.",
    cure="take the entry out, or set another end if the callers are not ready",
)


@rule(
    "capture-on",
    Level.WARNING,
    why="Denied requests are kept, sealed, for whoever has the key: meant for as long as somebody looks for a cause.",
    cure="`extauthz capture off`, which removes what was kept",
)
def capture_on(subject: Subject) -> Iterator[Spot]:
    folder = _capture(subject)
    wanted = None if folder is None else folder.wanted()
    if wanted is not None and wanted.until_ms > subject.now_ms:
        what = f"app `{wanted.app}`" if wanted.app else f"API `{wanted.api}`"
        yield Spot(("capture",), f"{wanted.checks} denied checks of {what} are kept until {utc(wanted.until_ms)}")


@rule(
    "capture-left",
    Level.NOTE,
    why="The capture is over, and the requests that it kept still rest on this host, sealed.",
    cure="`extauthz capture off` removes them",
)
def capture_left(subject: Subject) -> Iterator[Spot]:
    folder = _capture(subject)
    wanted = None if folder is None else folder.wanted()
    kept = 0 if folder is None else folder.kept()
    if kept and (wanted is None or wanted.until_ms <= subject.now_ms):
        yield Spot(("capture", "folder"), f"{kept} captured check{'s' if kept > 1 else ''}")


def _capture(subject: Subject) -> CaptureFolder | None:
    try:
        return capture_folder(subject.config)
    except SecretUnresolved:  # only where secrets are not looked for
        return None


RULES: Final[tuple[Rule, ...]] = (shadow_on, shadow_ended, capture_on, capture_left)
