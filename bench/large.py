"""Our service with a snapshot too large for a YAML file: ``python -m bench.large CONFIG APPS APIS``.

The same ``Process`` as `extauthz serve` runs, built from the same file, only with more apps and APIs in its snapshot.
"""

import sys
from pathlib import Path

import uvloop

from bench.world import enlarge
from extauthz.config import load
from extauthz.serve.process import Process


def main() -> None:
    config, apps, apis = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    uvloop.run(Process(enlarge(load(config), apps, apis)).run())


if __name__ == "__main__":
    main()
