"""What is one transaction of rules, and what is two."""

from __future__ import annotations

from podvnet.linux.security_text import security_texts
from podvnet.model.kernel import Chain, Junction, KernelObject, Step

TABLE = "podvnet"
PLAIN, OTHER = Chain(TABLE, "plain", "\t\taccept\n"), Chain(TABLE, "other", "\t\tdrop\n")
MAPPED = Chain(TABLE, "mapped", "\t\tdnat ip to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }\n")
DISPATCHED = Chain(TABLE, "dispatched", "\t\tip daddr vmap { 10.0.0.1 : goto other }\n")


def exchange(old: Chain, new: Chain) -> list[str]:
    def steps(chain: Chain, *, add: bool) -> list[Step]:
        objects: tuple[KernelObject, ...] = (chain, Junction(TABLE, "junction", chain.name))
        return [Step(add, "hub", each) for each in objects]

    return security_texts([*steps(old, add=False), *steps(new, add=True)])


def test_an_exchange_is_one_transaction() -> None:
    (text,) = exchange(PLAIN, OTHER)
    assert text.splitlines()[-1] == "delete chain inet podvnet plain"


def test_a_map_goes_in_a_transaction_of_its_own_once_nothing_leads_to_it() -> None:
    for chain in (MAPPED, DISPATCHED):
        first, second = exchange(chain, OTHER)
        assert "add rule inet podvnet junction jump other" in first.splitlines()
        assert second == f"delete chain inet podvnet {chain.name}\n"


def test_a_map_that_comes_needs_no_second_one() -> None:
    assert len(exchange(PLAIN, MAPPED)) == 1
