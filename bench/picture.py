"""The picture of the report, as SVG: throughput of real traffic, latency, and what overload does."""

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from bench.lanes import Result
from bench.scenarios import AT_A_RATE, UNDER_OVERLOAD
from bench.traffic import REAL

_WIDTH: Final = 760
_LEFT: Final = 250
_ROW: Final = 26
_BAR: Final = 16
_FULL: Final = 370
"""Pixels of 100 percent."""
_INK, _QUIET, _RULE = "#1f2933", "#66727f", "#d5dae0"
_OURS, _BESIDE, _REFUSED, _LOST = "#2f6fab", "#b9c6d3", "#e0a030", "#c0392b"


class _Page:
    """Elements from top to bottom."""

    def __init__(self) -> None:
        self.y = 14
        self.drawn: list[str] = []

    def text(
        self, x: float, text: str, *, size: int = 12, fill: str = _INK, anchor: str = "start", bold: int = 0
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.drawn.append(
            f'<text x="{x:.0f}" y="{self.y + 12}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def bar(self, x: float, width: float, fill: str) -> None:
        self.drawn.append(
            f'<rect x="{x:.1f}" y="{self.y}" width="{max(width, 1):.1f}" height="{_BAR}" rx="2" fill="{fill}"/>'
        )

    def heading(self, title: str, subtitle: str) -> None:
        self.y += 8 if self.drawn else 0
        self.text(16, title, size=15, bold=1)
        self.y += 19
        self.text(16, subtitle, fill=_QUIET)
        self.y += 27

    def row(self, name: str, bars: list[tuple[float, str]], after: str) -> None:
        """One line of bars beside each other: pixels and colour."""
        self.text(_LEFT - 10, name, anchor="end")
        x: float = _LEFT
        for width, fill in bars:
            self.bar(x, width, fill)
            x += width
        self.text(x + 8, after, fill=_QUIET)
        self.y += _ROW

    def rule(self, x: float, top: int) -> None:
        self.drawn.insert(0, f'<path d="M{x:.0f} {top}V{self.y - 6}" stroke="{_RULE}" stroke-width="1"/>')

    def svg(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{self.y + 8}" '
            f'viewBox="0 0 {_WIDTH} {self.y + 8}" font-family="system-ui, Helvetica, Arial, sans-serif">'
            '<rect width="100%" height="100%" fill="#ffffff"/>'
        )
        return "\n".join([head, *self.drawn, "</svg>", ""])


def draw(results: Mapping[str, Result]) -> str:
    """The whole picture; what was not measured is left out."""
    page = _Page()
    _methods(page, results)
    _latency(page, [result for result in results.values() if result.lane.group == AT_A_RATE])
    _overload(page, results)
    return page.svg()


def _methods(page: _Page, results: Mapping[str, Result]) -> None:
    chosen = [result for result in results.values() if result.lane.group == REAL]
    if not chosen:
        return
    page.heading("Checks a second on one core", "all different, one in a hundred refused; as fast as answers come")
    most = max(result.median("rate") for result in chosen)
    for result in chosen:
        rate = result.median("rate")
        page.row(result.lane.words, [(rate / most * _FULL, _OURS)], f"{rate:,.0f}")


def _latency(page: _Page, chosen: list[Result]) -> None:
    chosen = [result for result in chosen if result.lane.facts["rate"] == 1000]
    if not chosen:
        return
    page.heading(
        "Latency at 1,000 checks a second", "milliseconds; dark: median, light: 99th percentile; stalls counted"
    )
    longest = max(result.median("p99_us") for result in chosen)
    for result in chosen:
        p50, p99 = result.median("p50_us"), result.median("p99_us")
        widths = [(p50 / longest * _FULL, _OURS), ((p99 - p50) / longest * _FULL, _BESIDE)]
        page.row(result.lane.words, widths, f"{p50 / 1000:.2f} · p99 {p99 / 1000:.2f}")


def _overload(page: _Page, results: Mapping[str, Result]) -> None:
    chosen = [result for result in results.values() if result.lane.group == UNDER_OVERLOAD and result.lane.baseline]
    if not chosen:
        return
    page.heading(
        "Twice as many checks as can be answered",
        "100%: the peak; blue: decided, yellow: 503 at once, by Envoy or us, red: no answer before the deadline",
    )
    top = page.y - 4
    half = _FULL / 2
    for result in chosen:
        peak = results[result.lane.baseline].median("rate")
        refused = result.apart("refused") + result.apart("broken")
        parts = (result.median("rate"), _OURS), (refused, _REFUSED), (result.apart("nothing"), _LOST)
        widths = [(rate / peak * half, fill) for rate, fill in parts if rate]
        share = result.share_of(results[result.lane.baseline])
        page.row(result.lane.words, widths, f"{share:.0%} · p99 {result.median('p99_us') / 1000:.0f} ms")
    page.rule(_LEFT + half, top)
