"""Sums of the chart and of what it rendered: that they belong together can be seen where there is no helm."""

import hashlib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm"
PLAIN: Final = ROOT / "deploy" / "kubernetes"
RENDERED: Final = ROOT / "tests" / "deploy" / "rendered"
SUMS: Final = RENDERED / "sums"
BY_HAND: Final = {"kustomization.yaml", "namespace.yaml"}


def sums() -> str:
    """A line for each file of the chart, of the plain manifests and of the other renderings."""
    chart = [file for file in CHART.rglob("*") if file.is_file() and file.parent.name != "files"]
    plain = [file for file in PLAIN.iterdir() if file.name not in BY_HAND]
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ROOT)}"
        for file in sorted([*chart, *plain, *RENDERED.rglob("*.yaml")])
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    SUMS.write_text(sums())
