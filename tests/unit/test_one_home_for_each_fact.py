"""Names that stand in headers and in Envoy's configuration are spelled in one module, and imported from there."""

import ast
from pathlib import Path

import pytest

from extauthz.domain import context_keys, header_names

PACKAGE = Path(__file__).parent.parent.parent / "extauthz"
ELSEWHERE = ("config", "generated")
"""The configuration names what an operator may write; what is generated is not written by hand."""


def constants_of(module):
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def literals():
    """Every text that stands alone in the source, with its place."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).parts
        if not set(ELSEWHERE).isdisjoint(parts) or file.stem in ("context_keys", "header_names"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                yield text, f"{'/'.join(parts)}:{node.lineno}"


@pytest.mark.parametrize(
    ("module", "prefix"), [(context_keys, "extauthz."), (header_names, header_names.PREFIX)], ids=["context", "header"]
)
def test_a_name_that_others_write_is_spelled_in_one_module(module, prefix):
    names = {name for name in constants_of(module) if name.startswith(prefix)}
    assert len(names) > 5
    spelled = [(text, place) for text, place in literals() if text.lower() in names]
    assert spelled == []


def test_a_header_is_shown_as_the_vendor_writes_it():
    shown = [header_names.as_written(name) for name in ("x-ca-signature-headers", "content-md5", "x-ca-key", "date")]
    assert shown == ["X-Ca-Signature-Headers", "Content-MD5", "X-Ca-Key", "Date"]
