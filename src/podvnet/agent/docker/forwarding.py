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
_IN_USE = 4
"""What the programs end with when another one has their lock. Source: iptables(8)."""
_TIMEOUT = 10.0

_log = structlog.get_logger()


def admit() -> bool:
    """Let containers' packets through, if Docker keeps a firewall here; tell whether they get through now."""
    admitted = True
    for program in _PROGRAMS:
        standing = _rules(program)
        if standing is None:
            admitted = False
            continue
        for rule in _RULES if standing else ():
            if f"-A {_CHAIN} {' '.join(rule)}" not in standing:
                admitted = _change(program, "-I", _CHAIN, *rule) and admitted
    return admitted


def forget() -> None:
    """Take that back."""
    for program in _PROGRAMS:
        standing = _rules(program) or ""
        for rule in _RULES:
            if f"-A {_CHAIN} {' '.join(rule)}" in standing:
                _change(program, "-D", _CHAIN, *rule)


def _rules(program: str) -> str | None:
    """The chain as the program shows it: empty when there is no such chain or program, None when it cannot tell."""
    try:
        done = _run(program, "-S", _CHAIN)
    except FileNotFoundError:
        _log.info("no_firewall", program=program)
        return ""
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.error("firewall_not_seen", program=program, reason=str(error))
        return None
    if done.returncode == _IN_USE:
        _log.error("firewall_not_seen", program=program, reason=done.stderr.strip())
        return None
    return done.stdout if done.returncode == 0 else ""


def _change(program: str, *words: str) -> bool:
    try:
        done = _run(program, *words)
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.error("firewall_not_changed", program=program, rule=" ".join(words), reason=str(error))
        return False
    if done.returncode != 0:
        _log.error("firewall_not_changed", program=program, rule=" ".join(words), reason=done.stderr.strip())
    return done.returncode == 0


def _run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "-w", *words], capture_output=True, text=True, check=False, timeout=_TIMEOUT)
