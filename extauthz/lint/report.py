"""Findings for machines: JSON, SARIF 2.1.0 for code scanning, annotations of a GitHub workflow; and their table."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import extauthz
from extauthz.config.problems import show_path
from extauthz.lint.finding import Finding, Level, Rule

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_COMMANDS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}
_HELP: Final = "docs/lint.md"


def as_json(findings: Iterable[Finding]) -> str:
    """A list of findings."""
    return json.dumps(
        [
            {
                "id": one.rule.id,
                "level": one.rule.level.value,
                "file": one.file,
                "line": one.line,
                "path": show_path(one.path),
                "detail": one.detail,
                "why": one.rule.why,
                "cure": one.rule.cure,
            }
            for one in findings
        ],
        indent=2,
    )


def as_sarif(findings: Iterable[Finding], rules: Sequence[Rule]) -> str:
    """One run of SARIF 2.1.0, with ``rules`` as the catalogue."""
    place = {rule.id: index for index, rule in enumerate(rules)}
    results = [_result(one, place[one.rule.id]) for one in findings]
    driver = {
        "name": "extauthz lint",
        "version": extauthz.__version__,
        "rules": [_descriptor(rule) for rule in rules],
    }
    return json.dumps(
        {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]},
        indent=2,
    )


def _descriptor(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.id.replace("-", " ")},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} Write instead: {rule.cure}. See {_HELP}."},
        "defaultConfiguration": {"level": rule.level.value},
    }


def _result(finding: Finding, place: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": place,
        "level": finding.rule.level.value,
        "message": {"text": f"{finding.detail}. {finding.rule.why} Write instead: {finding.rule.cure}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": Path(finding.file).as_posix()},
                    "region": {"startLine": finding.line},
                },
                "logicalLocations": [{"fullyQualifiedName": show_path(finding.path) or finding.file}],
            }
        ],
        # So that a finding is the same one when lines above it come or go.
        "partialFingerprints": {"extauthz/v1": f"{finding.rule.id}:{show_path(finding.path)}:{finding.detail}"},
    }


def as_annotations(findings: Iterable[Finding]) -> str:
    """Workflow commands, which GitHub shows beside the lines of a pull request."""
    return "\n".join(
        f"::{_COMMANDS[one.rule.level]} file={_property(one.file)},line={one.line},"
        f"title={_property(one.rule.id)}::{_escaped(f'{one.detail}. {one.rule.why} Write instead: {one.rule.cure}')}"
        for one in findings
    )


def as_markdown(rules: Iterable[Rule]) -> str:
    """The catalogue as a table."""
    rows = [f"| `{rule.id}` | {rule.level} | {rule.why} | {rule.cure} |" for rule in rules]
    return "\n".join(["| finding | level | why | cure |", "|---|---|---|---|", *rows])


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
