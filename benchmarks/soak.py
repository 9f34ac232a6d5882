"""Many clients of the real SDK write to one virtual network for a while; figures, and everything that was wrong."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from podvnet.testing.cloud import access_for, cloud_for
from podvnet.testing.contention import contend
from podvnet.testing.lab import laboratory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "empty.yaml"
        file.write_text("resources: []\n", encoding="utf-8")
        with laboratory(file) as lab:
            account = contend(cloud_for(lab, access_for()), chosen.clients, chosen.seconds)
    print(json.dumps({"clients": chosen.clients, **account.document()}, indent=2))
    raise SystemExit(1 if account.wrong else 0)


if __name__ == "__main__":
    main()
