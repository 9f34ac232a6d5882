"""The resolver of a virtual network without sockets: what goes on the wire, limits, and what public DNS adds."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.update
import pytest

from podvnet.fabric.dns.cache import Cache, PublicAnswer, Question
from podvnet.fabric.dns.forwarder import Forwarder
from podvnet.fabric.dns.server import NetworkResolver
from podvnet.fabric.dns.view import Views
from podvnet.model.intent import Intent
from podvnet.model.resource_id import Scope, make

HUB = make(Scope(), "Microsoft.Network/virtualNetworks", "hub").key
VM = "10.0.1.4"
HEADER = struct.Struct("!HHHHHH")


class Public(Forwarder):
    """A public DNS that knows a few names; what it does not know it answers when it is told to."""

    def __init__(self, known: Mapping[Question, PublicAnswer]) -> None:
        super().__init__(list, "none")
        self._known = known
        self.slow = asyncio.Event()

    async def ask(self, question: Question) -> PublicAnswer:
        if question not in self._known:
            await self.slow.wait()
            return PublicAnswer("SERVFAIL")
        return self._known[question]


def records(*lines: str) -> tuple[dns.rrset.RRset, ...]:
    parts = [line.split(maxsplit=4) for line in lines]
    return tuple(dns.rrset.from_text(name, int(ttl), *rest) for name, ttl, *rest in parts)


PUBLIC = {
    ("www.public.test", "A"): PublicAnswer("NOERROR", records("www.public.test. 60 IN A 198.51.100.9")),
    ("gone.public.test", "A"): PublicAnswer("NXDOMAIN", authority=records("public.test. 60 IN SOA a. b. 1 2 3 4 5")),
    ("acct.blob.test", "A"): PublicAnswer(
        "NOERROR",
        records(
            "acct.blob.test. 60 IN CNAME acct.alias.test.",
            "acct.alias.test. 60 IN CNAME web.corp.example.",
            "web.corp.example. 60 IN A 198.51.100.10",
        ),
    ),
    ("back.test", "A"): PublicAnswer("NOERROR", records("back.test. 60 IN CNAME far.corp.example.")),
    ("round.test", "A"): PublicAnswer("NOERROR", records("round.test. 60 IN CNAME gone.fallback.example.")),
    ("gone.fallback.example", "A"): PublicAnswer(
        "NOERROR",
        records("gone.fallback.example. 60 IN CNAME elsewhere.test.", "elsewhere.test. 60 IN A 198.51.100.11"),
    ),
}


class Bench:
    """A resolver, and the clock it goes by."""

    def __init__(self, intent: Intent, rate: int, pending: int) -> None:
        self.now = 0.0
        self.public = Public(PUBLIC)
        views = Views(lambda: intent)
        self.resolver = NetworkResolver(
            lambda: views.find(HUB), self.public, lambda: self.now, rate=rate, pending=pending
        )

    async def ask(self, wire: bytes, *, source: str = VM, is_stream: bool = False) -> bytes | None:
        got: list[bytes] = []
        task = self.resolver.take(wire, source, got.append, is_stream=is_stream)
        if task is not None:
            await task
        return got[0] if got else None

    def begin(self, wire: bytes, got: list[bytes], source: str = VM) -> asyncio.Task[None] | None:
        return self.resolver.take(wire, source, got.append, is_stream=False)


def run(intent: Intent, scenario: Callable[[Bench], Awaitable[None]], rate: int = 1000, pending: int = 200) -> None:
    async def within() -> None:
        bench = Bench(intent, rate, pending)
        await scenario(bench)
        bench.resolver.close()

    asyncio.run(within())


def query(name: str, kind: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


def header(rcode: int, *, opcode: int = 0, flags: int = dns.flags.RD) -> bytes:
    return HEADER.pack(7, flags | opcode << 11, 0, 0, 0, 0)


MALFORMED = [
    ("too short for a header", b"\0" * 11, None),
    ("an answer", HEADER.pack(7, dns.flags.QR, 0, 0, 0, 0), None),
    ("no question", HEADER.pack(7, dns.flags.RD, 0, 0, 0, 0), "FORMERR"),
    ("a question that is cut off", HEADER.pack(7, 0, 1, 0, 0, 0) + b"\3www", "FORMERR"),
    ("a name that points at itself", HEADER.pack(7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", "FORMERR"),
    ("something after the end", query("web.corp.example") + b"x", "FORMERR"),
    ("two questions", HEADER.pack(7, 0, 2, 0, 0, 0) + b"\1a\0\0\1\0\1" * 2, "FORMERR"),
    ("a zone transfer", query("corp.example", "AXFR"), "REFUSED"),
    ("an update", dns.update.UpdateMessage("corp.example").to_wire(), "NOTIMP"),
    ("a status request", HEADER.pack(7, 2 << 11, 0, 0, 0, 0), "NOTIMP"),
    ("an unknown operation", HEADER.pack(7, 9 << 11, 0, 0, 0, 0) + b"junk", "NOTIMP"),
    ("another class", dns.message.make_query("version.bind", "TXT", "CH").to_wire(), "REFUSED"),
    ("an EDNS of the future", query("web.corp.example", use_edns=1), "BADVERS"),
]


@pytest.mark.parametrize(("wire", "rcode"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_what_cannot_be_answered_is_refused_by_its_code(intent: Intent, wire: bytes, rcode: str | None) -> None:
    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(wire)
        if rcode is None:
            assert answer is None
            return
        assert answer is not None
        found = dns.message.from_wire(answer)
        assert dns.rcode.to_text(found.rcode()) == rcode
        assert found.id == int.from_bytes(wire[:2])
        assert found.flags & dns.flags.QR
        assert not found.answer

    run(intent, scenario)


def test_the_answer_repeats_the_question_as_it_was_asked(intent: Intent) -> None:
    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(query("WeB.corp.EXAMPLE"))
        assert answer is not None
        found = dns.message.from_wire(answer)
        assert found.question[0].name.to_text() == "WeB.corp.EXAMPLE."
        assert dns.flags.to_text(found.flags) == "QR RD RA"
        assert found.edns == -1
        assert sorted(each.to_text() for each in found.answer[0]) == ["10.9.0.1", "10.9.0.2"]
        with_edns = await bench.ask(query("web.corp.example", use_edns=0, payload=4096))
        assert with_edns is not None
        assert (dns.message.from_wire(with_edns).edns, dns.message.from_wire(with_edns).payload) == (0, 1232)

    run(intent, scenario)


@pytest.mark.parametrize(
    ("payload", "is_stream", "limit", "cut"),
    [(0, False, 512, True), (512, False, 512, True), (100, False, 512, True), (1232, False, 1232, False),
     (4096, False, 1232, False), (0, True, 65535, False)],
)  # fmt: skip
def test_what_is_too_long_for_a_datagram_is_cut_and_says_so(
    intent: Intent, payload: int, *, is_stream: bool, limit: int, cut: bool
) -> None:
    long = records("long.test. 60 IN TXT " + " ".join(f'"{"x" * 200}"' for _ in range(4)))

    async def scenario(bench: Bench) -> None:
        bench.public._known = {("long.test", "TXT"): PublicAnswer("NOERROR", long)}
        wire = query("long.test", "TXT", use_edns=0, payload=payload) if payload else query("long.test", "TXT")
        answer = await bench.ask(wire, is_stream=is_stream)
        assert answer is not None
        found = dns.message.from_wire(answer)
        assert len(answer) <= limit
        assert bool(found.flags & dns.flags.TC) == cut
        assert bool(found.answer) == (not cut)

    run(intent, scenario)


@pytest.mark.parametrize(
    ("name", "rcode", "answers"),
    [
        ("www.public.test", "NOERROR", ["A 198.51.100.9"]),
        ("gone.public.test", "NXDOMAIN", []),
        ("far.corp.example", "NOERROR", ["CNAME www.public.test.", "A 198.51.100.9"]),
        ("acct.blob.test", "NOERROR", ["CNAME acct.alias.test.", "CNAME web.corp.example.", "A 10.9.0.1 10.9.0.2"]),
        ("back.test", "NOERROR", ["CNAME far.corp.example.", "CNAME www.public.test.", "A 198.51.100.9"]),
        ("round.test", "NOERROR", ["CNAME gone.fallback.example.", "CNAME elsewhere.test.", "A 198.51.100.11"]),
    ],
)
def test_public_dns_is_followed_and_aliases_lead_back_into_private_zones(
    intent: Intent, name: str, rcode: str, answers: list[str]
) -> None:
    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(query(name))
        assert answer is not None
        found = dns.message.from_wire(answer)
        assert dns.rcode.to_text(found.rcode()) == rcode
        lines = [
            " ".join([dns.rdatatype.to_text(each.rdtype), *sorted(data.to_text() for data in each)])
            for each in found.answer
        ]
        assert lines == answers

    run(intent, scenario)


def test_who_wants_no_recursion_gets_what_is_here_and_no_more(intent: Intent) -> None:
    async def scenario(bench: Bench) -> None:
        for name, rcode in (("web.corp.example", "NOERROR"), ("www.public.test", "REFUSED")):
            answer = await bench.ask(dns.message.make_query(name, "A", flags=0).to_wire())
            assert answer is not None
            assert dns.rcode.to_text(dns.message.from_wire(answer).rcode()) == rcode

    run(intent, scenario)


def test_nobody_but_the_vms_of_the_network_is_answered(intent: Intent) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.ask(query("web.corp.example"), source="10.1.1.4") is None
        assert await bench.ask(query("web.corp.example"), source="10.0.1.5")

    run(intent, scenario)


def test_a_vm_and_its_pods_ask_so_many_questions_a_second(intent: Intent) -> None:
    async def scenario(bench: Bench) -> None:
        pod = "10.0.1.5"
        assert [bool(await bench.ask(query("web.corp.example"), source=each)) for each in (VM, pod, VM, pod, VM)] == [
            True, True, True, False, False,
        ]  # fmt: skip
        bench.now += 0.34
        assert [bool(await bench.ask(query("web.corp.example"))) for _ in range(2)] == [True, False]

    run(intent, scenario, rate=3)


def test_a_slow_public_dns_holds_up_nobody_else_and_not_without_end(intent: Intent) -> None:
    async def scenario(bench: Bench) -> None:
        late: list[bytes] = []
        tasks = [bench.begin(query(f"slow{number}.test"), late) for number in range(3)]
        assert [task is not None for task in tasks] == [True, True, False]
        assert await bench.ask(query("web.corp.example"))
        assert not late
        bench.public.slow.set()
        for task in tasks:
            if task is not None:
                await task
        assert [dns.rcode.to_text(dns.message.from_wire(each).rcode()) for each in late] == ["SERVFAIL"] * 2
        assert await bench.ask(query("slow3.test"))

    run(intent, scenario, pending=2)


def test_a_forwarder_without_resolvers_knows_that_there_is_nothing() -> None:
    found = asyncio.run(Forwarder(list, "none").ask(("www.public.test", "A")))
    assert (found.rcode, found.answers, len(found.authority)) == ("NXDOMAIN", (), 1)


def test_what_is_kept_grows_older_and_goes() -> None:
    cache, question = Cache(), ("a.test", "A")
    cache.keep(question, PublicAnswer("NOERROR", records("a.test. 60 IN CNAME b.test.", "b.test. 20 IN A 1.2.3.4")), 5)
    kept = cache.find(question, 15.5)
    assert kept is not None
    assert [each.ttl for each in kept.answers] == [50, 10]
    assert cache.find(question, 25) is None
    assert cache.find(question, 6) is None


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (PublicAnswer("NXDOMAIN", authority=records("test. 60 IN SOA a. b. 1 2 3 4 5")), 5),
        (PublicAnswer("NOERROR", authority=records("test. 4 IN SOA a. b. 1 2 3 4 5")), 4),
        (PublicAnswer("NXDOMAIN"), 0),
        (PublicAnswer("SERVFAIL"), 0),
        (PublicAnswer("NOERROR", records("a. 604800 IN A 1.2.3.4")), 86400),
        (PublicAnswer("NOERROR", records("a. 0 IN A 1.2.3.4")), 0),
    ],
)
def test_how_long_an_answer_may_be_kept(answer: PublicAnswer, seconds: int) -> None:
    assert answer.lifetime() == seconds


def test_when_too_much_is_kept_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podvnet.fabric.dns.cache._KEPT", 2)
    cache, answer = Cache(), PublicAnswer("NOERROR", records("a. 60 IN A 1.2.3.4"))
    for name in ("a", "b"):
        cache.keep((name, "A"), answer, 0)
    assert cache.find(("a", "A"), 1)
    cache.keep(("c", "A"), answer, 1)
    assert [name for name in "abc" if cache.find((name, "A"), 1)] == ["a", "c"]
