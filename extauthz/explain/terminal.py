"""An explained check on a terminal: a table of the way, the outcome, and what to change."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from extauthz.domain.decision import Allow
from extauthz.domain.header_names import X_CA_ERROR_CODE, X_CA_ERROR_MESSAGE, as_written
from extauthz.explain.caller import ExplainedAnswer
from extauthz.explain.diagnosis.finding import Diagnosis, Finding
from extauthz.explain.diagnosis.strings import Line, SideBySide, without_credentials
from extauthz.explain.explained import Explained, advice_of, differences, outcome_of
from extauthz.explain.fact import Verdict, moment

_SIGNS: Final = {
    Verdict.PASSED: "[green]ok[/]",
    Verdict.REFUSED: "[bold red]no[/]",
    Verdict.NOT_REACHED: "[dim]-[/]",
    Verdict.NOTED: "",
}
_CARET_UP_TO: Final = 60


def print_explained(console: Console, explained: Explained) -> None:
    """Print all of it."""
    console.print(_steps(explained))
    print_outcome(console, explained)


def print_outcome(console: Console, explained: Explained) -> None:
    """Print what it ended in, and what to change, without the steps that led there."""
    way, decision = explained.way, explained.way.decision
    color = "green" if isinstance(decision, Allow) else "bold red"
    about = [f"{name} {value}" for name, value in _about(explained) if value]
    console.print(f"[{color}]{outcome_of(decision)}[/]  {escape(', '.join(about))}")
    if not way.answered.allowed:
        headers = dict(way.answered.set_headers)
        code, message = (headers.get(as_written(name), "") for name in (X_CA_ERROR_CODE, X_CA_ERROR_MESSAGE))
        console.print(
            f"the caller is told: {way.answered.status} {code} {escape(without_credentials(message))}", soft_wrap=True
        )
    if way.denied is not None:
        console.print(f"look at: {escape(advice_of(decision))}", soft_wrap=True)
    for note in explained.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if explained.diagnosis is not None:
        _print_diagnosis(console, explained.diagnosis, explained.strings)


def _about(explained: Explained) -> Iterator[tuple[str, str]]:
    checked = explained.way.checked
    yield "API", checked.api
    yield "stage", checked.stage
    yield "network", checked.network.value
    yield "method", checked.method
    yield "app", checked.app
    yield "at", moment(explained.way.now_ms)
    yield "revision", checked.revision


def _steps(explained: Explained) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "step", "test", "what was compared"):
        table.add_column(title, overflow="fold")
    for step in explained.steps:
        table.add_row(_SIGNS[step.verdict], f"[bold]{step.step}[/]", "", escape(step.refused_for))
        for fact in step.facts:
            table.add_row(_SIGNS[fact.verdict], "", escape(fact.test), escape(fact.compared))
    return table


def _print_diagnosis(console: Console, diagnosis: Diagnosis, strings: SideBySide | None) -> None:
    console.print()
    if diagnosis.explanations:
        first, *others = diagnosis.explanations
        console.print(f"[bold]{_how_sure(diagnosis)}[/]")
        for finding in first:
            _print_finding(console, finding)
        for other in others:
            told = " and ".join(escape(finding.wrong) for finding in other)
            console.print(f"  or, which is the same for this request: {told}", soft_wrap=True)
    for suspicion in diagnosis.suspicions:
        console.print(f"[yellow]perhaps:[/] {escape(suspicion)}", soft_wrap=True)
    if strings is not None:
        _print_strings(console, strings)
    if diagnosis.tried:
        cut = ", and more could have been" if diagnosis.cut and not diagnosis.explanations else ""
        console.print(f"[dim]{diagnosis.tried} signatures were tried in {diagnosis.seconds * 1000:.0f} ms{cut}[/]")


def _how_sure(diagnosis: Diagnosis) -> str:
    if diagnosis.certain:
        return "What is wrong (proved):" if diagnosis.proved else "What is wrong:"
    if diagnosis.proved:
        return "What is wrong (proved; what else would come to the same is listed):"
    return "What is probably wrong:"


def _print_finding(console: Console, finding: Finding) -> None:
    detail = f" ({finding.detail})" if finding.detail else ""
    console.print(f"  [bold red]{finding.name}[/]: {escape(finding.wrong + detail)}", soft_wrap=True)
    console.print(f"  [green]{escape(finding.cure)}[/]", soft_wrap=True)
    for language, words in finding.languages.items():
        console.print(f"    {language}: {escape(words)}", soft_wrap=True)


def _print_strings(console: Console, strings: SideBySide) -> None:
    table = Table("", "line", "the service builds", "the client signed")
    for number, line in enumerate(strings.lines, 1):
        server, client = _marked(line) if number == strings.line else (line.server, line.client)
        style = "" if line.same else "red"
        table.add_row("" if line.same else "≠", line.name, escape(server), escape(client), style=style)
    console.print(table)
    if not strings.line:
        console.print("The two strings are the same.")
    if strings.at is None:
        return
    console.print(
        f"first difference: byte {strings.at}, line {strings.line}, column {strings.column}: "
        f"the service has {escape(strings.server_byte)}, the client {escape(strings.client_byte)}"
    )


def print_answer(console: Console, explained: ExplainedAnswer) -> None:
    """Print what a caller can know of a denial."""
    for reason in explained.reasons:
        console.print(f"[bold red]{reason.label}[/]: {escape(reason.advice)}", soft_wrap=True)
    for note in explained.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if explained.strings is not None:
        _print_strings(console, explained.strings)


def _marked(line: Line) -> tuple[str, str]:
    """Both texts with a caret under the first character that differs."""
    pairs = enumerate(zip(line.server, line.client, strict=False))
    width = next((place for place, (a, b) in pairs if a != b), min(len(line.server), len(line.client)))
    caret = "\n" + " " * width + "^" if width < _CARET_UP_TO else ""
    return line.server + caret, line.client + caret


def print_under(console: Console, explained: Explained, other: Explained, name: str) -> None:
    """Print how the outcome differs under another configuration."""
    mine, theirs = outcome_of(explained.way.decision), outcome_of(other.way.decision)
    same = "the same outcome" if mine == theirs else f"[bold]{mine}[/] becomes [bold]{theirs}[/]"
    console.print(f"\nunder {escape(name)}: {same}")
    found = differences(explained, other)
    if found:
        table = Table("step", "now", f"under {escape(name)}")
        for step, now, then in found:
            table.add_row(step, escape(now), escape(then))
        console.print(table)
