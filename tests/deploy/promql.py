"""What a PromQL expression reads: metric names, and the labels by which it selects and groups."""

from collections.abc import Iterator
from typing import Any

import promql_parser

_BELOW = ("lhs", "rhs", "expr", "param", "vector_selector")


def parse(expression: str) -> Any:
    """The tree of an expression, Grafana's variables filled in. Raises ValueError when it is not PromQL."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def selectors(node: Any) -> Iterator[Any]:
    """Every vector selector of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in _BELOW:
        below = getattr(node, name, None)
        if below is not None:
            yield from selectors(below)
    for argument in getattr(node, "args", None) or ():
        yield from selectors(argument)


def grouped(node: Any) -> Iterator[tuple[set[str], set[str]]]:
    """For each ``by (...)``: its labels, and the metrics below it."""
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        yield set(node.modifier.labels), {one.name for one in selectors(node.expr)}
    for name in _BELOW:
        below = getattr(node, name, None)
        if below is not None:
            yield from grouped(below)
    for argument in getattr(node, "args", None) or ():
        yield from grouped(argument)
