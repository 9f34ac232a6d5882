"""Changes of security rules as one transaction of nft commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podvnet.model.kernel import AddressSet, Chain, Dispatch, KernelObject, Step

_FAMILY = "inet"


def security_text(steps: Iterable[Step]) -> str:
    """The commands that carry out steps of sets, chains and dispatches, in an order the kernel can take.

    What is there already may be added again, and what is gone removed, so that an interrupted change can be repeated.
    """
    steps = list(steps)
    added = [step.object for step in steps if step.add]
    removed = [step.object for step in steps if not step.add]
    lines = [
        *(_declaration(item) for item in added if isinstance(item, AddressSet)),
        *(_chain(item) for item in added if isinstance(item, Chain)),
        *_dispatches(removed, added),
        *(_end("chain", item) for item in removed if isinstance(item, Chain)),
        *(_end("set", item) for item in removed if isinstance(item, AddressSet)),
    ]
    return "\n".join(lines) + "\n"


def _declaration(item: AddressSet) -> str:
    return f"table {_FAMILY} {item.table} {{\n\tset {item.name} {{\n\t\ttype ipv{item.version}_addr\n\t}}\n}}"


def _chain(item: Chain) -> str:
    place = f"{_FAMILY} {item.table} {item.name}"
    body = f"table {_FAMILY} {item.table} {{\n\tchain {item.name} {{\n{item.text}\t}}\n}}"
    return f"add chain {place}\nflush chain {place}\n{body}"


def _dispatches(removed: list[KernelObject], added: list[KernelObject]) -> Iterator[str]:
    """Elements of verdict maps. One is added before it is deleted, for what is not there cannot be deleted."""
    for item in removed:
        if isinstance(item, Dispatch):
            place = f"element {_FAMILY} {item.table} {item.map}"
            yield f"add {place} {{ {item.index} : jump {item.chain} }}\ndelete {place} {{ {item.index} }}"
    for item in added:
        if isinstance(item, Dispatch):
            yield f"add element {_FAMILY} {item.table} {item.map} {{ {item.index} : jump {item.chain} }}"


def _end(kind: str, item: Chain | AddressSet) -> str:
    place = f"{kind} {_FAMILY} {item.table} {item.name}"
    return f"delete {place}"
