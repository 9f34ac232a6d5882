"""The table of the controller's metrics in docs/services.md, executed."""

from __future__ import annotations

import re
from pathlib import Path

from podvnet.kube.controller_metrics import Readings, render
from podvnet.kube.write_tally import WriteTally

TEXT = (Path(__file__).parents[3] / "docs" / "services.md").read_text(encoding="utf-8")


def test_the_table_of_metrics_has_every_metric() -> None:
    listed = re.findall(r"^\| `(podvnet_controller_\w+)` \|", TEXT, flags=re.MULTILINE)
    text = render(Readings(True, {}, 0.0, {}, WriteTally(), left=1))
    assert listed == re.findall(r"^# TYPE (\w+)", text, flags=re.MULTILINE)
