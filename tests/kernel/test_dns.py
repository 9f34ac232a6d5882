"""The platform's resolver as VMs and pods see it, by dig and by the resolver library.

``PODVNET_DNS_QUERIES`` sends more questions than the few thousand that every run does.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from statistics import median

import pytest

from podvnet.testing.lab import Lab, LabPod, podvnet
from podvnet.testing.name_flood import Flood, flood
from podvnet.testing.name_server import NameServer, name_server
from podvnet.testing.stage import Stage, stage

FILE = Path(__file__).with_name("names.yaml")
PLATFORM = "168.63.129.16"
QUESTIONS = int(os.environ.get("PODVNET_DNS_QUERIES", "3000"))
PACE = 900.0
"""Questions a second of a VM: fewer than the thousand that it may ask."""
UNANSWERED = [f"never{number}.slow.test" for number in range(10)]
PUBLIC = {
    ("www.public.test", "A"): ("www.public.test. 60 IN A 203.0.113.200",),
    ("gone.fallback.test", "A"): ("gone.fallback.test. 60 IN A 203.0.113.201",),
    ("private.public.test", "A"): (
        "private.public.test. 60 IN CNAME web.corp.example.",
        "web.corp.example. 60 IN A 203.0.113.202",
    ),
    ("long.public.test", "TXT"): ("long.public.test. 60 IN TXT " + " ".join(f'"{"y" * 200}"' for _ in range(5)),),
    ("late.slow.test", "A"): ("late.slow.test. 60 IN A 203.0.113.203",),
    **{(f"n{n}.slow.test", "A"): (f"n{n}.slow.test. 60 IN A 203.0.113.203",) for n in range(40)},
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Stage]:
    with stage(FILE) as made:
        yield made


@pytest.fixture(scope="module")
def lab(scene: Stage) -> Lab:
    return scene.lab


@pytest.fixture(scope="module")
def pod(lab: Lab) -> LabPod:
    return lab.run_pod("web", "vm1")


@pytest.fixture(scope="module")
def public(lab: Lab) -> Iterator[NameServer]:
    """The resolver of the internet."""
    with name_server(lab.internet(), "198.51.100.53", PUBLIC) as server:
        yield server


@pytest.fixture(scope="module")
def suffix(lab: Lab) -> str:
    """What Azure's own names of the hub end with."""
    found = re.search(r"^search (\S+)$", lab.inside("vm1", "cat", "/etc/resolv.conf").stdout, re.MULTILINE)
    assert found
    return found[1]


def inside_pod(lab: Lab, pod: LabPod, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program in a pod; its runtime has given it the VM's resolv.conf, as its result asks."""
    return lab.inside(pod.vm, "nsenter", f"--net={pod.sandbox}", "--", *argv, check=check)


def dig(lab: Lab, vm: str, *words: str, pod: LabPod | None = None, patience: int = 2) -> list[str]:
    """Status, notable flags and the answers, as dig shows them; nothing when nobody answers."""
    argv = ["dig", "+nocmd", "+noquestion", "+nostats", "+tries=1", f"+time={patience}", *words]
    done = inside_pod(lab, pod, *argv, check=False) if pod else lab.inside(vm, *argv, check=False)
    status = re.search(r"status: (\w+)", done.stdout)
    if not status:
        return []
    flags = re.search(r";; flags: ([a-z ]+);", done.stdout)
    answers = [" ".join(line.split()) for line in done.stdout.splitlines() if line and not line.startswith(";")]
    cut = ["tc"] if flags and "tc" in flags[1].split() else []
    return [status[1], *cut, *sorted(line for line in answers if " SOA " not in line)]


ROWS = [
    ("web.corp.example", ["NOERROR", "web.corp.example. 30 IN A 10.1.0.10"]),
    ("WEB.Corp.example", ["NOERROR", "WEB.Corp.example. 30 IN A 10.1.0.10"]),
    ("+noedns web.corp.example", ["NOERROR", "web.corp.example. 30 IN A 10.1.0.10"]),
    ("+tcp web.corp.example", ["NOERROR", "web.corp.example. 30 IN A 10.1.0.10"]),
    ("web.corp.example AAAA", ["NOERROR"]),
    ("none.corp.example", ["NXDOMAIN"]),
    ("any.wild.corp.example", ["NOERROR", "any.wild.corp.example. 30 IN A 10.1.0.11"]),
    ("www.corp.example", ["NOERROR", "web.corp.example. 30 IN A 10.1.0.10",
                          "www.corp.example. 30 IN CNAME web.corp.example."]),
    ("_sip._tcp.corp.example SRV", ["NOERROR", "_sip._tcp.corp.example. 30 IN SRV 1 2 5060 web.corp.example."]),
    ("many.corp.example", ["NOERROR", *(f"many.corp.example. 30 IN A 10.9.0.{n}" for n in range(1, 5))]),
    ("vm1.corp.example", ["NOERROR", "vm1.corp.example. 10 IN A 10.1.1.4"]),
    ("web-pod.corp.example", ["NXDOMAIN"]),
    ("own.corp.example", ["NXDOMAIN"]),
    ("vm2.{suffix}", ["NOERROR", "vm2.{suffix}. 10 IN A 10.1.1.7"]),
    ("own.{suffix}", ["NXDOMAIN"]),
    ("-x 10.1.1.4", ["NOERROR", "4.1.1.10.in-addr.arpa. 10 IN PTR vm1.corp.example.",
                     "4.1.1.10.in-addr.arpa. 10 IN PTR vm1.{suffix}."]),
    ("-x 10.1.1.5", ["NXDOMAIN"]),
    ("-x 10.2.1.4", ["NXDOMAIN"]),
    ("here.fallback.test", ["NOERROR", "here.fallback.test. 30 IN A 10.1.0.12"]),
    ("gone.fallback.test", ["NOERROR", "gone.fallback.test. 60 IN A 203.0.113.201"]),
    ("+norecurse web.corp.example", ["NOERROR", "web.corp.example. 30 IN A 10.1.0.10"]),
    ("+norecurse none.public.test", ["REFUSED"]),
    ("none.public.test", ["NXDOMAIN"]),
    ("management.azure.com", ["NOERROR", "management.azure.com. 10 IN A 198.51.100.254"]),
    ("corp.example AXFR", []),
    ("version.bind TXT CH", ["REFUSED"]),
    ("+opcode=status web.corp.example", ["NOTIMP"]),
    ("+edns=7 +noednsneg web.corp.example", ["BADVERS"]),
    ("+header-only", ["FORMERR"]),
]  # fmt: skip


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize(("question", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_dig_in_a_vm_and_in_a_pod(lab: Lab, pod: LabPod, suffix: str, question: str, expected: list[str]) -> None:
    words = question.format(suffix=suffix).split()
    wanted = [each.format(suffix=suffix) for each in expected]
    assert dig(lab, "vm1", *words) == wanted
    assert dig(lab, "vm1", *words, pod=pod) == wanted


def test_long_answers_are_cut_and_asked_for_again(lab: Lab, public: NameServer) -> None:
    for words, cut in ((("long.corp.example", "TXT"), 4), (("+bufsize=4096", "long.corp.example", "TXT"), 4)):
        assert dig(lab, "vm1", "+ignore", *words) == ["NOERROR", "tc"]
        assert len(dig(lab, "vm1", *words)) == 1 + cut
    # The resolver itself asks again over TCP what it got cut.
    assert dig(lab, "vm1", "+tcp", "long.public.test", "TXT")[1].count("y" * 200) == 5


def test_several_questions_on_one_connection(lab: Lab, public: NameServer) -> None:
    names = ["web.corp.example", "none.corp.example", "www.public.test"]
    done = lab.inside("vm1", "dig", "+tcp", "+keepopen", "+noall", "+answer", *names)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["10.1.0.10", "203.0.113.200"]


def test_public_names_are_forwarded_once_and_kept(lab: Lab, public: NameServer) -> None:
    before = public.asked["www.public.test"]
    for _ in range(3):
        (answer,) = dig(lab, "vm2", "www.public.test")[1:]
        assert answer.endswith(" IN A 203.0.113.200")
    assert dig(lab, "vm1", "far.corp.example")[1:][0] == "far.corp.example. 30 IN CNAME www.public.test."
    assert public.asked["www.public.test"] <= max(1, before)
    # An alias leads back into a private zone.
    assert dig(lab, "vm1", "private.public.test")[1:] == [
        "private.public.test. 60 IN CNAME web.corp.example.",
        "web.corp.example. 30 IN A 10.1.0.10",
    ]


def test_a_view_is_of_one_network_and_its_label_of_all(lab: Lab, public: NameServer, suffix: str) -> None:
    server = f"@{PLATFORM}"
    assert dig(lab, "own", server, "web.corp.example") == ["NXDOMAIN"]
    assert dig(lab, "own", server, f"vm1.{suffix}") == ["NXDOMAIN"]
    shops = {tuple(dig(lab, vm, server, "shop.local.cloudapp.azure.com")) for vm in ("vm1", "own")}
    ((status, answer),) = shops
    assert status == "NOERROR"
    assert ip_address(answer.split()[-1]) in {ip_address(f"192.0.2.{n}") for n in range(256)}


def test_the_library_in_a_vm_and_in_a_pod(lab: Lab, pod: LabPod, public: NameServer, suffix: str) -> None:
    script = (
        "import socket as s; print(*sorted({each[4][0] for name in ('vm2', 'web.corp.example', 'www.corp.example',"
        " 'www.public.test', 'many.corp.example') for each in s.getaddrinfo(name, 80, s.AF_INET)}),"
        " s.gethostbyaddr('10.1.1.7')[0])"
    )
    for run in (partial(lab.inside, "vm1"), partial(inside_pod, lab, pod)):
        found = run("python3", "-c", script).stdout.split()
        assert found[:-1] == sorted(
            ["10.1.1.7", "10.1.0.10", "203.0.113.200", "10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"]
        )
        assert found[-1] in {f"vm2.{suffix}", "vm2.corp.example"}
        assert run("getent", "hosts", "web.corp.example").stdout.split() == ["10.1.0.10", "web.corp.example"]


def test_a_pod_is_told_what_its_vm_has(lab: Lab, pod: LabPod, suffix: str) -> None:
    assert pod.result["dns"] == {"nameservers": [PLATFORM], "search": [suffix]}
    own = lab.run_pod("own-pod", "own")
    assert own.result["dns"] == {"nameservers": ["10.2.1.4"], "search": ["reddog.microsoft.com"]}


def test_a_vm_with_name_servers_of_its_own_asks_them(lab: Lab) -> None:
    names = {("web.corp.example", "A"): ("web.corp.example. 30 IN A 10.77.0.1",)}
    assert lab.inside("own", "cat", "/etc/resolv.conf").stdout == "search reddog.microsoft.com\nnameserver 10.2.1.4\n"
    with name_server(lab.vm("own"), "10.2.1.4", names) as server:
        assert lab.inside("own", "getent", "hosts", "web.corp.example").stdout.split()[0] == "10.77.0.1"
        assert server.asked["web.corp.example"]


def test_a_group_that_denies_the_resolver_by_its_tag(lab: Lab) -> None:
    assert dig(lab, "mute", "web.corp.example", patience=1) == []
    assert dig(lab, "mute", "+tcp", "web.corp.example", patience=1) == []


def test_a_change_is_answered_at_once(scene: Stage, lab: Lab) -> None:
    resources = scene.declared
    zone = resources["privateDnsZones/corp.example"]["properties"]
    zone["A"] = [{"name": "new", "properties": {"ttl": 1, "aRecords": [{"ipv4Address": "10.1.0.99"}]}}]
    scene.apply(resources)
    assert dig(lab, "vm1", "new.corp.example") == ["NOERROR", "new.corp.example. 1 IN A 10.1.0.99"]
    assert dig(lab, "vm1", "web.corp.example") == ["NXDOMAIN"]
    zone["virtualNetworkLinks"] = []
    scene.apply(resources)
    assert dig(lab, "vm1", "new.corp.example", "+norecurse") == ["REFUSED"]
    scene.apply(scene.declared)
    assert dig(lab, "vm1", "web.corp.example")[0] == "NOERROR"


def test_a_slow_resolver_on_the_internet_holds_up_only_who_asks_for_it(lab: Lab, public: NameServer) -> None:
    begun = time.monotonic()
    names = [f"n{number}.slow.test" for number in range(40)]
    waiting = subprocess.Popen(
        lab.command("vm1", "sh", "-c", " ".join(f"dig +short +tries=1 +time=20 {name} &" for name in names) + " wait"),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while sum(public.asked[name] > 0 for name in names) < len(names):
        assert time.monotonic() - begun < 15, "the questions have not arrived"
        assert dig(lab, "vm2", "web.corp.example")[0] == "NOERROR"
    found = flood([lab.vm("vm1"), lab.vm("vm2")], PLATFORM, {"web.corp.example": b"\x0a\x01\x00\x0a"}, 400,
                  pace=400, outstanding=16)  # fmt: skip
    assert (found.lost, found.wrong) == (0, 0)
    # On a machine that does much else they wait for one another, but for no resolver: that takes longer than a second.
    assert median(found.latencies) < 0.5
    public.let.set()
    said, _ = waiting.communicate(timeout=30)
    public.let.clear()
    # Two programs called dig may come by the same port, and complain of the other's answer.
    assert {line for line in said.splitlines() if not line.startswith(";")} <= {"203.0.113.203"}


def test_no_question_is_lost(lab: Lab, pod: LabPod, public: NameServer) -> None:
    """Nor does one wait for those beside it that a resolver of the internet never answers: they are given up."""
    names = {
        "web.corp.example": b"\x0a\x01\x00\x0a",
        "vm1.corp.example": b"\x0a\x01\x01\x04",
        "any.wild.corp.example": b"\x0a\x01\x00\x0b",
        "www.corp.example": b"\x0a\x01\x00\x0a",
        "www.public.test": b"\xcb\x00\x71\xc8",
    }
    places = [pod.descriptor, lab.vm("vm2")]
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        vain = beside.submit(ask_in_vain, lab.vm("vm2"), is_over)
        begun = time.monotonic()
        while not sum(public.asked[name] for name in UNANSWERED):
            assert time.monotonic() - begun < 15, "the questions have not arrived"
        try:
            found = flood(places, PLATFORM, names, QUESTIONS, pace=PACE, outstanding=64)
        finally:
            is_over.set()
        waits = vain.result(timeout=30)
    assert (found.sent, found.lost, found.wrong) == (QUESTIONS, 0, 0), str(found)
    # A resolver is waited for one and a half seconds, and nobody else waits with it.
    assert median(found.latencies) < 1.0, str(found)
    assert [str(each) for each in waits if each.lost or each.wrong] == []
    assert min(max(each.latencies) for each in waits) > 2
    print(f"{found}; beside them {sum(each.sent for each in waits)} that are given up")  # noqa: T201 - for who asks


def ask_in_vain(descriptor: int, is_over: threading.Event) -> list[Flood]:
    """Ask for names that nobody answers, all the time; each is given up with an answer that says nothing."""
    found = []
    nothing = b"\0\0\1\0\1"
    while not is_over.is_set():
        names = dict.fromkeys(UNANSWERED, nothing)
        found.append(flood([descriptor], PLATFORM, names, 30, pace=10, outstanding=30, patience=20))
    return found


def test_a_vm_that_asks_too_much_is_throttled_and_others_are_not(lab: Lab) -> None:
    names = {"web.corp.example": b"\x0a\x01\x00\x0a"}
    asked = 2600
    greedy = flood([lab.vm("vm1")], PLATFORM, names, asked, pace=1e6, outstanding=asked, patience=0.5)
    assert greedy.lost > 0
    polite = flood([lab.vm("vm2")], PLATFORM, names, 200, pace=500, outstanding=32, patience=20)
    assert (polite.lost, polite.wrong) == (0, 0)


def test_a_vm_learns_of_other_name_servers_when_it_boots(scene: Stage, lab: Lab, suffix: str) -> None:
    told = f"search {suffix}\nnameserver {PLATFORM}\n"
    resources = scene.declared
    resources["virtualNetworks/hub"]["properties"]["dhcpOptions"] = {"dnsServers": ["10.1.1.99", "10.1.1.98"]}
    scene.apply(resources)
    assert lab.inside("vm2", "cat", "/etc/resolv.conf").stdout == told
    podvnet("vm", "reboot", "vm2")
    lab.reopen()
    expected = "search reddog.microsoft.com\nnameserver 10.1.1.99\nnameserver 10.1.1.98\n"
    assert lab.inside("vm2", "cat", "/etc/resolv.conf").stdout == expected
    assert lab.inside("vm1", "cat", "/etc/resolv.conf").stdout == told
