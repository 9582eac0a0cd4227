"""Rules for what is let pass for a while: shadow that is on, and shadow that has ended."""

from typing import Final

from extauthz.config.problems import Warned
from extauthz.lint.finding import Level, Rule, warned

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

RULES: Final[tuple[Rule, ...]] = (shadow_on, shadow_ended)
