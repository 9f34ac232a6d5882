"""``podvnet capture``: packets at any hop, as lines for people or as a file for tools."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json, print_table

if TYPE_CHECKING:
    from podvnet.fabric.hop import Hop
    from podvnet.linux.capture import Capture
    from podvnet.model.pcap import CapturedFrame


@click.command()
@click.argument("where", required=False)
@click.option("-w", "file", type=click.Path(dir_okay=False), help="Write a pcap file; - for standard output.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many packets.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds.")
@json_option
def capture(where: str | None, file: str | None, count: int | None, seconds: float | None, as_json: bool) -> None:
    """Capture the packets that pass WHERE; without WHERE list the places there are. Ctrl-C ends it.

    WHERE is a VM (its first NIC, from inside), VM:eth1, a NIC (its port, as the network sees it), NETWORK:internet (the
    network's way out), NETWORK and one of its links to peered networks, or `internet`.

    \b
    Examples:
      podvnet capture                        what can be captured
      podvnet capture vm1                    a line for each packet
      podvnet capture vm1-nic -w vm1.pcap    a file for Wireshark
      podvnet capture hub:internet -w - | tcpdump -nr -
    """  # noqa: D301
    from podvnet.fabric import hop
    from podvnet.linux import namespace
    from podvnet.linux.capture import Capture

    known = hop.hops()
    if where is None:
        _list(known, as_json=as_json)
        return
    try:
        place = hop.find(where, known)
    except hop.UnknownHopError as error:
        details = [{"code": each.name, "message": _described(each)} for each in known]
        remedy = "" if known else "`podvnet up FILE` brings up a network"
        raise FailureError(str(error), remedy, details=details, as_json=as_json) from None
    try:
        with namespace.opened(place.namespace) as descriptor:
            source = Capture(descriptor, place.interface)
    except OSError as error:
        raise _failure(place, error) from None
    with source, _opened(file) as output, _interruption() as stop:
        click.echo(f"capturing at {place.name} ({place.what}); Ctrl-C ends it", err=True)
        _follow(source, place, stop, output, count, seconds)


def _follow(
    source: Capture, place: Hop, stop: int, output: BinaryIO | None, count: int | None, seconds: float | None
) -> None:
    from podvnet.linux.error import KernelError
    from podvnet.model import pcap

    taken = 0
    try:
        if output:
            output.write(pcap.file_header())
            output.flush()
        for frame in source.frames(stop, seconds):
            if frame is None:
                (output or sys.stdout).flush()
                continue
            if output:
                output.write(pcap.record(frame))
            else:
                sys.stdout.write(_line(frame, several=not place.interface) + "\n")
            taken += 1
            if taken == count:
                break
    except KernelError as error:
        raise _failure(place, error) from None
    finally:
        dropped = source.dropped
        lost = f"; {dropped} more came too fast to be captured" if dropped else ""
        click.echo(f"{taken} packets captured{lost}", err=True)


def _line(frame: CapturedFrame, *, several: bool) -> str:
    from podvnet.model.frame_summary import summary

    moment = datetime.fromtimestamp(frame.time // 1_000_000_000, UTC).astimezone()
    direction = "out" if frame.outgoing else "in"
    where = f"{frame.interface} {direction}" if several else direction
    microseconds = frame.time % 1_000_000_000 // 1000
    return f"{moment:%H:%M:%S}.{microseconds:06} {where:<3} {summary(frame.data, frame.length)}"


def _list(known: list[Hop], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"name": each.name, "namespace": each.namespace, "interface": each.interface, "what": each.what}
                for each in known
            ]
        )
    elif known:
        print_table(
            "What can be captured", ["name", "what", "also"], ((e.name, e.what, ", ".join(e.aliases)) for e in known)
        )
    else:
        click.echo("nothing is up. `podvnet up FILE` brings up a network")


def _described(place: Hop) -> str:
    return place.what + (f" (also: {', '.join(place.aliases)})" if place.aliases else "")


@contextmanager
def _opened(file: str | None) -> Iterator[BinaryIO | None]:
    """The file to write to, if any."""
    if file in {None, "-"}:
        yield sys.stdout.buffer if file else None
        return
    try:
        with Path(str(file)).open("wb") as output:
            yield output
    except OSError as error:
        raise FailureError(f"cannot write {file}: {error.strerror}") from None


def _failure(place: Hop, error: OSError) -> FailureError:
    return FailureError(f"{place.name}: {error}", "`podvnet capture` lists the places there are now")


@contextmanager
def _interruption() -> Iterator[int]:
    """A descriptor that becomes readable at Ctrl-C or SIGTERM, so that no packet is cut in the middle."""
    stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    before = {
        number: signal.signal(number, lambda *_: os.eventfd_write(stop, 1))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(stop)
