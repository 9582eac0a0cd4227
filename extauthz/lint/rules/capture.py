"""Rules for captured checks: capture that is on, and kept checks that nobody has removed."""

from collections.abc import Iterator
from typing import Final

from extauthz.config.secrets import SecretUnresolved
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule
from extauthz.observe.capture.configured import capture_folder


@rule(
    "capture-on",
    Level.WARNING,
    why="Requests of callers are kept on this host, sealed, for as long as somebody still needs them.",
    cure="`extauthz capture off` removes them; they go by themselves a day after their time is up",
)
def capture_on(subject: Subject) -> Iterator[Spot]:
    try:
        folder = capture_folder(subject.config)
    except SecretUnresolved:  # secrets were not looked for
        return
    wanted = None if folder is None else folder.wanted()
    if folder is None or wanted is None:
        return
    what = f"app {wanted.app}" if wanted.app else f"API {wanted.api}"
    state = "is on" if subject.now_ms < wanted.until_ms else "has ended"
    told = f"capture of {what} {state}, {folder.kept()} of {wanted.checks} checks are kept; asked by {wanted.asked_by}"
    yield Spot(("capture",), f"{told}: {wanted.why}")


RULES: Final[tuple[Rule, ...]] = (capture_on,)
