"""Changes of security rules and translations as transactions of nft commands: one, or two where maps go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podvnet.model.kernel import AddressSet, Chain, Dispatch, IdleTimeout, Junction, KernelObject, Step

_FAMILY = "inet"
_PROTOCOLS = {4: "ip", 6: "ip6"}
DOOR = "door-"
"""What the names of chains between a verdict map and the chain that is meant begin with."""


def security_texts(steps: Iterable[Step]) -> list[str]:
    """The commands that carry out steps of sets, chains and dispatches, in an order the kernel can take.

    What is there already may be added again, and what is gone removed, so that an interrupted change can be repeated.

    Returns:
        Transactions. The second one, if there is any, removes what the first has put out of use: elements of a map are
        gone as soon as the transaction is that removes it, also for packets that were on their way to it.
    """
    steps = list(steps)
    added = [step.object for step in steps if step.add]
    removed = [step.object for step in steps if not step.add]
    lines = [
        *(_declaration(item) for item in added if isinstance(item, AddressSet)),
        *(_timeout(item) for item in added if isinstance(item, IdleTimeout)),
        # Chains may lead to junctions that come with them.
        *(f"add chain {_FAMILY} {item.table} {item.name}" for item in added if isinstance(item, Junction)),
        *(_chain(item) for item in added if isinstance(item, Chain)),
        *_dispatches(removed, added),
        *_junctions(removed, added),
    ]
    ends = [
        *(_end("chain", item.table, item.name) for item in removed if isinstance(item, Chain)),
        *(_end("chain", item.table, item.name) for item in _closed(removed, added) if not item.declared),
        *(_end("set", item.table, item.name) for item in removed if isinstance(item, AddressSet)),
        *(_timeout_end(item) for item in removed if isinstance(item, IdleTimeout)),
    ]
    if any(isinstance(item, Chain) and "map {" in item.text for item in removed):
        return ["\n".join(part) + "\n" for part in (lines, ends) if part]
    return ["\n".join(lines + ends) + "\n"]


def _declaration(item: AddressSet) -> str:
    return f"table {_FAMILY} {item.table} {{\n\tset {item.name} {{\n\t\ttype ipv{item.version}_addr\n\t}}\n}}"


def _chain(item: Chain) -> str:
    place = f"{_FAMILY} {item.table} {item.name}"
    body = f"table {_FAMILY} {item.table} {{\n\tchain {item.name} {{\n{item.text}\t}}\n}}"
    return f"add chain {place}\nflush chain {place}\n{body}"


def door(item: Dispatch) -> str:
    """The chain that an element of a verdict map leads to, as long as the element is there.

    An element that is exchanged for another is missed by a packet now and then, even in one transaction, and what is
    missed is not asked. So the element stays, and what is exchanged is the one rule of the chain it leads to.
    """
    return f"{DOOR}{item.map}-{item.index}"


def _dispatches(removed: list[KernelObject], added: list[KernelObject]) -> Iterator[str]:
    """Elements of verdict maps. One is added before it is deleted, for what is not there cannot be deleted."""
    wanted = [item for item in added if isinstance(item, Dispatch)]
    stay = {(item.table, item.map, item.index) for item in wanted}
    for item in wanted:
        chain = f"{_FAMILY} {item.table} {door(item)}"
        yield f"add chain {chain}\nflush chain {chain}\nadd rule {chain} jump {item.chain}"
        yield f"add element {_FAMILY} {item.table} {item.map} {{ {item.index} : jump {door(item)} }}"
    gone = [item for item in removed if isinstance(item, Dispatch)]
    for item in gone:
        if (item.table, item.map, item.index) not in stay:
            chain, place = f"{_FAMILY} {item.table} {door(item)}", f"element {_FAMILY} {item.table} {item.map}"
            yield f"add chain {chain}\nflush chain {chain}"
            yield f"add {place} {{ {item.index} : jump {door(item)} }}\ndelete {place} {{ {item.index} }}"
            yield f"delete chain {chain}"


def _junctions(removed: list[KernelObject], added: list[KernelObject]) -> Iterator[str]:
    """The rules of junctions: that of one which goes leads nowhere before it goes."""
    for item in _closed(removed, added):
        place = f"{_FAMILY} {item.table} {item.name}"
        yield f"add chain {place}\nflush chain {place}"
    for item in (each for each in added if isinstance(each, Junction)):
        place = f"{_FAMILY} {item.table} {item.name}"
        yield f"flush chain {place}\nadd rule {place} jump {item.chain}"


def _closed(removed: list[KernelObject], added: list[KernelObject]) -> list[Junction]:
    stay = {(item.table, item.name) for item in added if isinstance(item, Junction)}
    return [item for item in removed if isinstance(item, Junction) and (item.table, item.name) not in stay]


def _timeout(item: IdleTimeout) -> str:
    lines = (
        f"\tct timeout {name} {{\n\t\tprotocol tcp\n\t\tl3proto {_PROTOCOLS[version]}\n"
        f"\t\tpolicy = {{ established : {item.seconds} }}\n\t}}"
        for version, name in item.names.items()
    )
    return f"table {_FAMILY} {item.table} {{\n" + "\n".join(lines) + "\n}"


def _timeout_end(item: IdleTimeout) -> str:
    return "\n".join(f"delete ct timeout {_FAMILY} {item.table} {name}" for name in item.names.values())


def _end(kind: str, table: str, name: str) -> str:
    return f"delete {kind} {_FAMILY} {table} {name}"
