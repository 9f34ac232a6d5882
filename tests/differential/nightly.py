"""Draws topologies and packets, sends the packets, and fails when one goes another way than the evaluator says.

Inside ``podvnet sandbox`` only; ``scripts/differential`` goes there.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import structlog

from podvnet.linux import sandbox
from podvnet.testing.arena import Arena
from podvnet.testing.differential import compare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topologies", type=int, default=200, help="how many different ones")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="which ones")
    parser.add_argument("--as-drawn", action="store_true", help="report the first failure as it is, not the smallest")
    options = parser.parse_args()
    if not sandbox.inside():
        parser.error("this sends packets between namespaces of its own making: run it by scripts/differential")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/run") as directory:
        arena = Arena(Path(directory))
        try:
            compare(arena, options.topologies, options.seed, shrink=not options.as_drawn)
        finally:
            seconds = time.monotonic() - started
            sys.stdout.write(f"seed {options.seed}, {seconds:.0f} s: {arena.account}\n")
            arena.close()


if __name__ == "__main__":
    main()
