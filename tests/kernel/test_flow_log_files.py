"""A flow log from its resource to its file: what a network that is up writes down."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from podvnet.linux import namespace
from podvnet.runtime import probe
from podvnet.testing.lab import Lab, laboratory

FILE = Path(__file__).parent / "flow-logs.yaml"
VM1, VM2 = "10.1.1.4", "10.1.1.5"
DISCARD = 9


def tuples(directory: Path) -> set[tuple[str, ...]]:
    """MAC, rule and all of each flow but its time."""
    return {
        (record["macAddress"], flows["rule"], *line.split(",")[1:])
        for file in directory.rglob("PT1H.json")
        for record in json.loads(file.read_text(encoding="utf-8"))["records"]
        for flows in record["properties"]["flows"]
        for line in flows["flows"][0]["flowTuples"]
    }


def send(lab: Lab) -> int:
    """Send from vm1 to vm2 what is denied there; return the port."""
    with namespace.entered(lab.vm("vm1")):
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sending:
        sending.bind((VM1, 0))
        sending.sendto(b"denied", (VM2, DISCARD))
        port: int = sending.getsockname()[1]
        return port


def test_what_a_group_allowed_and_denied_is_in_its_files_when_the_network_is_gone() -> None:
    with laboratory(FILE) as lab:
        macs = {
            each["name"]: each["nics"][0]["mac"].replace(":", "").upper() for each in lab.status()["virtualMachines"]
        }
        lab.servers.listen(lab.vm("vm2"), VM2)
        assert probe.seen_as(lab.vm("vm1"), VM2) == VM1
        port = str(send(lab))
    found = tuples(Path(os.environ["PODVNET_STATE"]) / "fabric" / "storage" / "logs")
    denied = VM1, VM2, port, str(DISCARD), "U"
    nothing = "", "", "", ""
    assert (macs["vm1"], "DefaultRule_AllowVnetOutBound", *denied, "O", "A", "B", *nothing) in found
    assert (macs["vm2"], "UserRule_no-discard", *denied, "I", "D", "B", *nothing) in found
    calls = {each[:2] + each[2:4] + each[5:] for each in found if each[5] == str(probe.PORT)}
    ends = VM1, VM2, str(probe.PORT), "T"
    assert calls == {
        (macs["vm1"], "DefaultRule_AllowVnetOutBound", *ends, "O", "A", "B", *nothing),
        (macs["vm2"], "DefaultRule_AllowVnetInBound", *ends, "I", "A", "B", *nothing),
    }
