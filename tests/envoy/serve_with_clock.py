"""The service with a clock that tests set: ``python serve_with_clock.py --clock FILE --config FILE``.

The file holds milliseconds since 1970; empty means the real time. The shipped command has no such thing.
"""

import argparse
import logging
from pathlib import Path

import uvloop

from extauthz.config import load
from extauthz.domain.clock import wall_clock_ms
from extauthz.serve.process import Process


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    def now_ms() -> int:
        return int(arguments.clock.read_text() or wall_clock_ms())

    uvloop.run(Process(load(arguments.config), now_ms).run())


if __name__ == "__main__":
    main()
