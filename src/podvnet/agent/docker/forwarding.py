"""Docker's own firewall: it drops what a VM forwards, unless it forwarded before Docker was first started.

Docker leaves one chain to others, which it asks before its own. There what comes from containers of ours, and what goes
to them, is let through; what they may do is decided by our own tables. The program is the one that Docker uses, so it
does not matter which of the kernel's two packet filters that writes to.
Source: Docker document "Packet filtering and firewalls", "Add iptables policies before Docker's rules".
"""

from __future__ import annotations

import subprocess

import structlog

from podvnet.model.attachment import LINK_PREFIX

_PROGRAMS = ("iptables", "ip6tables")
_CHAIN = "DOCKER-USER"
_RULES = tuple((direction, f"{LINK_PREFIX}+", "-j", "ACCEPT") for direction in ("-i", "-o"))

_log = structlog.get_logger()


def admit() -> None:
    """Let containers' packets through, if Docker keeps a firewall here."""
    for program in _PROGRAMS:
        standing = _call(program, "-S", _CHAIN)
        for rule in _RULES if standing is not None else ():
            if f"-A {_CHAIN} {' '.join(rule)}" not in (standing or "") and _call(program, "-I", _CHAIN, *rule) is None:
                _log.error("not_admitted", program=program, rule=" ".join(rule))


def forget() -> None:
    """Take that back."""
    for program in _PROGRAMS:
        standing = _call(program, "-S", _CHAIN) or ""
        for rule in _RULES:
            if f"-A {_CHAIN} {' '.join(rule)}" in standing:
                _call(program, "-D", _CHAIN, *rule)


def _call(program: str, *words: str) -> str | None:
    """What the program says; None when it is not there or refuses."""
    try:
        done = subprocess.run([program, "-w", *words], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.info("no_firewall", program=program, reason=str(error))
        return None
    return done.stdout if done.returncode == 0 else None
