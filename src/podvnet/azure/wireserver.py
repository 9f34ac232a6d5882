"""The wireserver's interface document: the source of pod addresses that the original plug-in uses.

One request, ``GET /machine/plugins?comp=nmagent&type=getinterfaceinfov1``, no headers needed; the answer lists the
addresses of every NIC of the asking VM and follows the NIC's ip-configurations within seconds::

    <Interfaces>
      <Interface MacAddress="000D3A0A0B0C" IsPrimary="true">
        <IPSubnet Prefix="10.20.0.0/16">
          <IPAddress Address="10.20.0.4" IsPrimary="true"/>
          <IPAddress Address="10.20.0.5" IsPrimary="false"/>
        </IPSubnet>
      </Interface>
    </Interfaces>

Source of the shape: azure-container-networking, ipam/azure.go; Azure document "What is IP address 168.63.129.16?".
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, fromstring

from podvnet.azure.error import bad_document, check_size
from podvnet.azure.http_source import HttpSource
from podvnet.azure.inventory import Inventory, faults, read_nic
from podvnet.model.address import WIRESERVER_ADDRESS

BASE_URL = f"http://{WIRESERVER_ADDRESS}"
INTERFACES = "/machine/plugins?comp=nmagent&type=getinterfaceinfov1"

_REMEDY = (
    f"Ask from the VM itself, not from a pod; check the route to {WIRESERVER_ADDRESS}/32 and that no firewall rule"
    " of the VM drops TCP port 80 to it"
)

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def fetch_interfaces(base_url: str = BASE_URL, timeout: float = 10.0) -> Inventory:
    """Ask the wireserver what this VM's NICs own.

    Args:
        base_url: where the wireserver is.
        timeout: seconds; ten is what the original plug-in waits.

    Raises:
        SourceError: it is out of reach, refuses, or sends something else.
    """
    body = HttpSource(base_url, headers=(), timeout=timeout, remedy=_REMEDY).get(INTERFACES)
    return parse_interfaces(body, base_url.rstrip("/") + INTERFACES)


def parse_interfaces(xml: bytes, source: str = "the wireserver's interface document") -> Inventory:
    """Read the interface document.

    MACs may have any case and colons, hyphens or nothing between their octets. ``IsPrimary`` is false when absent.
    Elements and attributes that are not known are passed over; a namespace is ignored.

    Args:
        xml: UTF-8, at most :data:`~podvnet.azure.error.LARGEST_DOCUMENT` bytes, without a document type declaration.
        source: what to call it in an error.

    Raises:
        SourceError: it is not this document, or it contradicts itself (see :mod:`podvnet.azure.inventory`).
    """
    check_size(xml, source)
    root = _root(xml, source)
    if _name(root) != "Interfaces":
        raise bad_document(source, f"the root element is {_name(root)!r}, not 'Interfaces'")
    try:
        inventory = Inventory(
            tuple(
                read_nic(
                    _required(interface, "MacAddress"),
                    _is_primary(interface),
                    (
                        (
                            _required(subnet, "Prefix"),
                            [
                                (_required(entry, "Address"), _is_primary(entry))
                                for entry in _children(subnet, "IPAddress")
                            ],
                        )
                        for subnet in _children(interface, "IPSubnet")
                    ),
                )
                for interface in _children(root, "Interface")
            )
        )
    except ValueError as error:
        raise bad_document(source, str(error)) from error
    if found := faults(inventory):
        raise bad_document(source, "; ".join(found))
    return inventory


def _root(xml: bytes, source: str) -> Element:
    """Parse, with document types and so entities refused beforehand.

    The text is decoded here and handed over decoded, so the parser ignores any encoding that the document declares. It
    would still take NULs for a sign of UTF-16, so these are refused first: nothing hides from the search.
    """
    try:
        text = xml.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad_document(source, f"not UTF-8 ({error.reason} at byte {error.start})") from error
    if "\0" in text:
        raise bad_document(source, "not XML (a NUL character)")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise bad_document(source, "a document type declaration, which the interface document never has")
    try:
        return fromstring(text)  # noqa: S314 - no document type reaches it, so there is no entity to expand
    except ParseError as error:
        raise bad_document(source, f"not XML ({error})") from error


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _name(child) == name)


def _required(element: Element, attribute: str) -> str:
    value = element.get(attribute)
    if not value:
        msg = f"an element {_name(element)!r} without {attribute!r}"
        raise ValueError(msg)
    return value


def _is_primary(element: Element) -> bool:
    text = element.get("IsPrimary", "false").strip().lower()
    if text not in _BOOLEANS:
        msg = f"IsPrimary of an element {_name(element)!r} is {text!r}, not 'true' or 'false'"
        raise ValueError(msg)
    return _BOOLEANS[text]
