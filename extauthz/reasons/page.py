"""A page for each reason, in Markdown, and where a caller finds it."""

from collections.abc import Mapping
from typing import Final

from extauthz.domain.header_names import X_CA_ERROR_CODE, X_CA_ERROR_MESSAGE, as_written
from extauthz.domain.reason import Reason
from extauthz.reasons import credentials, failures, requests, signatures, tokens
from extauthz.reasons.story import Story

STORIES: Final[Mapping[str, Story]] = {
    **requests.STORIES,
    **credentials.STORIES,
    **signatures.STORIES,
    **tokens.STORIES,
    **failures.STORIES,
}
"""Every reason at length, by label."""
_MADE: Final = "<!-- Made by `extauthz reasons --pages docs/reasons`; change `extauthz/reasons`, not this file. -->"


def page(reason: Reason) -> str:
    """The page of a reason."""
    story = STORIES[reason.label]
    vpc, legacy = reason.vpc, reason.legacy
    kind = "A failure: nothing was decided, so it denies." if reason.failure else "A denial."
    star = " Its answer can be changed under `errors: {overrides: ...}`." if reason.provisional else ""
    parts = [
        f"# {reason.label}",
        _MADE,
        f"{kind} {reason.advice}{star}",
        (
            "| generation | HTTP | code | message |\n|---|---|---|---|\n"
            f"| `vpc` | {vpc.status} | {vpc.code} | {vpc.message} |\n"
            f"| `legacy` | {legacy.status} | - | {legacy.message} |"
        ),
        _list("Causes", story.causes),
        _list("How to see it", (*story.see, _everywhere(reason))),
        _list("Cure", story.cure),
        f"## Example\n\nThis ends so:\n\n```text\n{story.example}\n```",
        f"and is answered:\n\n```http\n{_answer(reason)}\n```",
    ]
    if story.more:
        parts.append(f"Read on: [{story.more}](../{story.more}), [all reasons](README.md).")
    return "\n\n".join(parts) + "\n"


def index(reasons: Mapping[str, Reason]) -> str:
    """The page that lists all of them."""
    rows = [
        f"| [`{label}`]({label}.md) | {one.vpc.code} | {one.vpc.status} | {one.advice} |"
        for label, one in reasons.items()
    ]
    head = ["# Why was this denied?", "", _MADE, "", "| reason | code | HTTP | in one line |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def pages(reasons: Mapping[str, Reason]) -> dict[str, str]:
    """File name and content of every page."""
    return {"README.md": index(reasons)} | {f"{label}.md": page(one) for label, one in reasons.items()}


def _list(title: str, points: tuple[str, ...]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {point}" for point in points)


def _everywhere(reason: Reason) -> str:
    metric, line = f'`extauthz_checks_total{{reason="{reason.label}"}}`', f'`"reason":"{reason.label}"`'
    return f"{metric} counts it; {line} stands in the decision log under the caller's `X-Ca-Request-Id`."


def _answer(reason: Reason) -> str:
    answer = reason.vpc
    return "\n".join((
        f"HTTP/1.1 {answer.status}",
        f"{as_written(X_CA_ERROR_CODE)}: {answer.code}",
        f"{as_written(X_CA_ERROR_MESSAGE)}: {answer.message.replace('{fact}', '...')}",
    ))  # fmt: skip
