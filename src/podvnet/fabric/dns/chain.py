"""Where aliases in an answer of public DNS lead back into a virtual network.

Pure. The name of a service with a private endpoint is public, and an alias of one below ``privatelink``, which a
private zone has. Source: Azure document "Azure Private Endpoint DNS integration scenarios".
"""

from __future__ import annotations

import dns.rdatatype
import dns.rrset

from podvnet.fabric.dns.cache import PublicAnswer
from podvnet.fabric.dns.resolution import ANY
from podvnet.fabric.dns.view import View


def until_private(
    found: PublicAnswer, view: View, name: str, kind: str
) -> tuple[tuple[dns.rrset.RRset, ...], str | None]:
    """The part of an answer that holds in a virtual network, and the name to go on with there.

    Args:
        found: the answer to ``name`` and ``kind``.
        view: of the virtual network.
        name: in lower case, without a dot at its end.
        kind: the type of record.

    Returns:
        The whole answer and None, or the aliases up to a name that has a meaning of its own there, and that name.
    """
    if kind in {"CNAME", ANY}:
        return found.answers, None
    aliases = {_text(each): each for each in found.answers if each.rdtype == dns.rdatatype.CNAME}
    kept: list[dns.rrset.RRset] = []
    while name in aliases:
        alias = aliases.pop(name)
        kept.append(alias)
        name = alias[0].target.to_text(omit_final_dot=True).lower()
        if view.zone_of(name) is not None or name in view.public:
            return tuple(kept), name
    return found.answers, None


def _text(each: dns.rrset.RRset) -> str:
    return each.name.to_text(omit_final_dot=True).lower()
