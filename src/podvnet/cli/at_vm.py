"""Commands of a VM, given outside it: they go on inside the VM of the fabric that ``--vm`` names."""

from __future__ import annotations

import os
import sys

import click

vm_option = click.option("--vm", help="The VM of the fabric; without it, this machine.")


def at_vm(name: str | None) -> None:
    """Go on inside a VM of the fabric when one is named."""
    if name is None:
        return
    from podvnet.cli.vm import inside

    words = sys.argv[1:]
    for position, word in enumerate(words):
        if word == "--":
            break
        if word == "--vm":
            del words[position : position + 2]
            break
        if word.startswith("--vm="):
            del words[position]
            break
    argv = inside(name, [sys.executable, "-m", "podvnet", *words])
    os.execvp(argv[0], argv)  # noqa: S606 - ourselves, inside the VM
