from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from podvnet.fabric.flow_log import FlowLogFiles, LoggedFlow, Reading
from podvnet.model.address import Mac
from podvnet.model.flow_log import FlowLog
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.security import Direction, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.plan import names
from podvnet.plan.flow_log_prefix import flow_log_prefix

SCOPE = Scope("11111111-2222-3333-4444-555555555555", "rg1")
HUB = make(SCOPE, "Microsoft.Network/virtualNetworks", "hub")
FRONT = HUB.child("subnets", "front")
WEB = make(SCOPE, "Microsoft.Network/networkSecurityGroups", "web")
NIC = NetworkInterface(
    make(SCOPE, "Microsoft.Network/networkInterfaces", "vm1-nic"),
    7,
    Mac("00:0d:3a:f8:78:56"),
    HUB,
    FRONT,
    (IpConfiguration("primary", ip_address("10.5.16.4"), primary=True),),
)
ACCOUNT = make(SCOPE, "Microsoft.Storage/storageAccounts", "logs")
LOG = FlowLog(make(SCOPE, "Microsoft.Network/networkWatchers/flowLogs", "eastus", "web"), WEB, ACCOUNT)
OUT = SecurityRule(
    "defaultSecurityRules/AllowInternetOutBound", 65001, Direction.OUTBOUND, True, Protocol.ANY, Side(), Side()
)
IN = SecurityRule("securityRules/no-ssh", 100, Direction.INBOUND, False, Protocol.TCP, Side(), Side())
INTENT = Intent(nics={NIC.id.key: NIC}, security_groups={WEB.key: SecurityGroup(WEB, (IN, OUT))})
PORT = names.port_index(NIC.number)
MOMENT = 1_542_110_377
"""2018-11-13T11:59:37Z"""
CALL = bytes(IP(src="10.5.16.4", dst="13.67.143.118") / TCP(sport=59831, dport=443, flags="S"))
KNOCK = bytes(IP(src="94.102.49.190", dst="10.5.16.4") / TCP(sport=28746, dport=22, flags="S"))


def reading(*logs: FlowLog) -> Reading:
    return Reading(HUB, INTENT, logs or (LOG,))


def logged(
    rule: SecurityRule, packet: bytes, seconds: int = 0, *, log: FlowLog = LOG, other: int = 2
) -> list[LoggedFlow]:
    incoming, outgoing = (PORT, other) if rule is OUT else (other, PORT)
    moment = (MOMENT + seconds) * 10**9 + 5
    return reading(log).flows(flow_log_prefix(WEB, rule), packet, moment, incoming, outgoing)


def written(directory: Path) -> dict[str, Any]:
    [file] = directory.rglob("*.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_a_minutes_record_is_azures(tmp_path: Path) -> None:
    files = FlowLogFiles(tmp_path)
    files.note(logged(OUT, CALL))
    files.note(logged(IN, KNOCK, 5))
    files.write(MOMENT + 60)
    assert written(tmp_path) == {
        "records": [
            {
                "time": "2018-11-13T12:00:00.0000000Z",
                "systemId": written(tmp_path)["records"][0]["systemId"],
                "macAddress": "000D3AF87856",
                "category": "NetworkSecurityGroupFlowEvent",
                "resourceId": "/SUBSCRIPTIONS/11111111-2222-3333-4444-555555555555/RESOURCEGROUPS/RG1"
                "/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB",
                "operationName": "NetworkSecurityGroupFlowEvents",
                "properties": {
                    "Version": 2,
                    "flows": [
                        {
                            "rule": "DefaultRule_AllowInternetOutBound",
                            "flows": [
                                {
                                    "mac": "000D3AF87856",
                                    "flowTuples": ["1542110377,10.5.16.4,13.67.143.118,59831,443,T,O,A,B,,,,"],
                                }
                            ],
                        },
                        {
                            "rule": "UserRule_no-ssh",
                            "flows": [
                                {
                                    "mac": "000D3AF87856",
                                    "flowTuples": ["1542110382,94.102.49.190,10.5.16.4,28746,22,T,I,D,B,,,,"],
                                }
                            ],
                        },
                    ],
                },
            }
        ]
    }


def test_version_1_has_no_state_and_no_counts(tmp_path: Path) -> None:
    files = FlowLogFiles(tmp_path)
    files.note(logged(OUT, CALL, log=replace(LOG, version=1)))
    files.write()
    properties = written(tmp_path)["records"][0]["properties"]
    assert properties["Version"] == 1
    assert properties["flows"][0]["flows"][0]["flowTuples"] == ["1542110377,10.5.16.4,13.67.143.118,59831,443,T,O,A"]


def test_the_files_are_where_azure_puts_them(tmp_path: Path) -> None:
    files = FlowLogFiles(tmp_path)
    files.note(logged(OUT, CALL))
    files.note(logged(OUT, CALL, 30))
    files.write()
    base = (
        "logs/insights-logs-networksecuritygroupflowevent/resourceId=/SUBSCRIPTIONS"
        "/11111111-2222-3333-4444-555555555555/RESOURCEGROUPS/RG1/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB"
    )
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == {
        f"{base}/y=2018/m=11/d=13/h=11/m=00/macAddress=000D3AF87856/PT1H.json",
        f"{base}/y=2018/m=11/d=13/h=12/m=00/macAddress=000D3AF87856/PT1H.json",
    }


def test_a_minute_is_written_once_it_is_over_and_the_file_grows(tmp_path: Path) -> None:
    files = FlowLogFiles(tmp_path)
    files.note(logged(OUT, CALL, 60))
    files.write(MOMENT + 60)
    assert not list(tmp_path.rglob("*.json")), "its minute is not over"
    files.write(MOMENT + 120)
    assert [each["time"] for each in written(tmp_path)["records"]] == ["2018-11-13T12:01:00.0000000Z"]
    anew = FlowLogFiles(tmp_path)  # a process that has been started again
    anew.note(logged(OUT, CALL, 120))
    anew.note(logged(OUT, CALL, 180))
    anew.write(MOMENT + 240)
    assert [each["time"] for each in written(tmp_path)["records"]] == [
        "2018-11-13T12:01:00.0000000Z",
        "2018-11-13T12:02:00.0000000Z",
        "2018-11-13T12:03:00.0000000Z",
    ]
    anew.write()
    assert len(written(tmp_path)["records"]) == 3


def test_what_a_minute_repeats_is_written_once_at_its_first_time(tmp_path: Path) -> None:
    files = FlowLogFiles(tmp_path)
    for seconds in (0, 1, 3, 7):
        files.note(logged(IN, KNOCK, seconds))
    files.write()
    [flows] = written(tmp_path)["records"][0]["properties"]["flows"]
    assert flows["flows"][0]["flowTuples"] == ["1542110377,94.102.49.190,10.5.16.4,28746,22,T,I,D,B,,,,"]


def test_what_cannot_be_written_is_kept_for_the_next_time(tmp_path: Path) -> None:
    obstacle = tmp_path / "logs"
    obstacle.write_text("not a directory", encoding="utf-8")
    files = FlowLogFiles(tmp_path)
    files.note(logged(OUT, CALL))
    with pytest.raises(OSError, match="logs"):
        files.write()
    obstacle.unlink()
    files.write()
    assert len(written(tmp_path)["records"]) == 1


def test_udp_and_ipv6_are_logged_and_protocols_without_ports_are_not() -> None:
    [found] = logged(OUT, bytes(IP(src="10.5.16.4", dst="1.1.1.1") / UDP(sport=5, dport=53)))
    assert (found.flow.protocol, found.flow.destination_port) == (17, 53)
    assert logged(OUT, bytes(IP(src="10.5.16.4", dst="1.1.1.1") / ICMP())) == []


@pytest.mark.parametrize("target", [WEB, HUB, FRONT, NIC.id])
def test_a_log_of_a_group_a_network_a_subnet_or_a_nic_has_the_flow(target: ResourceId) -> None:
    [found] = logged(IN, KNOCK, log=replace(LOG, target=target))
    assert (found.group, found.mac) == (WEB, NIC.mac)


def test_what_is_no_logs_business_is_left_out() -> None:
    other = make(SCOPE, "Microsoft.Network/networkSecurityGroups", "other")
    assert logged(IN, KNOCK, log=replace(LOG, target=other)) == []
    prefix = flow_log_prefix(WEB, IN)
    assert reading().flows(flow_log_prefix(other, IN), KNOCK, MOMENT, 2, PORT) == [], "a group that is gone"
    assert reading().flows(prefix, KNOCK, MOMENT, PORT, 2) == [], "inbound counts where the packet leaves the network"
    assert reading().flows("somebody else's", KNOCK, MOMENT, 2, PORT) == []
    assert reading().flows(prefix, b"", MOMENT, 2, PORT) == []
    assert len(reading(LOG, replace(LOG, target=HUB)).flows(prefix, KNOCK, MOMENT, 2, PORT)) == 2
