"""``podvnet demo``: the main job on a bare machine, in a bubble that leaves nothing behind."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click

from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json
from podvnet.linux import sandbox as bubble

INTERNET_HOST = "198.51.100.10"
_MACHINES = {"vm1": "10.1.1.4", "vm2": "10.1.2.4"}
_POOL = 250


@dataclass(frozen=True, slots=True)
class Proof:
    """One claim, and what the packets said."""

    claim: str
    holds: bool
    evidence: str


@click.command()
@click.option("--shell", is_flag=True, help="Open a shell in the bubble at the end, with everything still up.")
@json_option
def demo(shell: bool, as_json: bool) -> None:
    """Show the main job: a virtual network, two VMs, pods by the CNI plug-in, and packets that prove it.

    Runs in a bubble of its own (see `podvnet sandbox`): the machine's network is not touched, and when it ends, however
    it ends, nothing is left. As root or, where user namespaces are allowed, as anybody.
    """
    if not bubble.inside():
        from podvnet.cli.sandbox import enter

        enter([sys.executable, "-m", "podvnet", "demo", *sys.argv[2:]])
    started = time.monotonic()
    proofs = list(_Demo(quiet=as_json).run())
    failed = [proof for proof in proofs if not proof.holds]
    if as_json:
        print_json([{"claim": each.claim, "holds": each.holds, "evidence": each.evidence} for each in proofs])
    else:
        click.echo(
            f"\n{len(proofs) - len(failed)} of {len(proofs)} proofs hold, in {time.monotonic() - started:.0f} s."
        )
    if shell:
        click.echo("everything is up; leave the shell and it is gone. Try: podvnet status")
        os.execvp("/bin/sh", ["/bin/sh"])  # noqa: S606 - the user asked for a shell
    if failed:
        raise FailureError(f"{len(failed)} proofs do not hold", "`podvnet doctor` checks this machine", as_json=as_json)


class _Demo:
    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def run(self) -> Iterator[Proof]:
        from podvnet.testing.lab import laboratory

        with _example() as file:
            self._step(f"bringing up {file.name}: a virtual network with two subnets, and a VM in each")
            with laboratory(file) as lab:
                for name, address in _MACHINES.items():
                    lab.servers.listen(lab.vm(name), address)
                lab.servers.listen(lab.internet(), INTERNET_HOST)
                self._step("attaching six pods by executing /opt/cni/bin/azure-vnet, as a runtime does")
                for name, number in itertools.product(_MACHINES, range(1, 4)):
                    lab.run_pod(f"{name}-pod{number}", name)
                self._picture(lab)
                for prove in (_everyone, _mtu, _internet, _exceptions, _pool):
                    proof = prove(lab)
                    self._show(proof)
                    yield proof

    def _step(self, what: str) -> None:
        if not self._quiet:
            click.echo(f"  {what} …")

    def _show(self, proof: Proof) -> None:
        if self._quiet:
            return
        mark = click.style("▶ holds", fg="green") if proof.holds else click.style("▶ FAILS", fg="red")
        click.echo(f"{mark}  {proof.claim}\n           {proof.evidence}")

    def _picture(self, lab: Any) -> None:
        if self._quiet:
            return
        pods = {name: [pod.address for pod in lab.pods.values() if pod.vm == name] for name in _MACHINES}
        click.echo(
            f"""
      vm1 {_MACHINES["vm1"]}                          vm2 {_MACHINES["vm2"]}
      pods {", ".join(pods["vm1"])}      pods {", ".join(pods["vm2"])}
          │ eth0                                │ eth0
      ════╪═════════ hub 10.1.0.0/16 ═══════════╪════
       front 10.1.1.0/24        │          back 10.1.2.0/24
                                │ default outbound
                     internet, {INTERNET_HOST}
"""
        )


def _everyone(lab: Any) -> Proof:
    from podvnet.runtime.probe import seen_as

    hosts = {pod.address: pod.descriptor for pod in lab.pods.values()}
    hosts |= {address: lab.vm(name) for name, address in _MACHINES.items()}
    pairs = list(itertools.permutations(hosts, 2))
    wrong = [(caller, called) for caller, called in pairs if seen_as(hosts[caller], called) != caller]
    evidence = f"{len(pairs)} pairs of {len(hosts)} hosts connected; every server saw its caller's own address"
    if wrong:
        evidence = "; ".join(f"{caller} → {called} failed" for caller, called in wrong[:5])
    return Proof(
        "pods and VMs reach one another, on one VM, across VMs, across subnets, untranslated", not wrong, evidence
    )


def _mtu(lab: Any) -> Proof:
    from podvnet.runtime.probe import datagram_passes

    first, *_, last = lab.pods.values()
    fits = datagram_passes(first.descriptor, last.address, 1500)
    more = datagram_passes(first.descriptor, last.address, 1501)
    passing = f"1500 bytes unfragmented {'pass' if fits else 'DO NOT pass'}, 1501 {'PASS' if more else 'do not'}"
    words = f"{first.name} → {last.name}: {passing}"
    return Proof("the path MTU between pods is the NIC's", fits and not more, words)


def _internet(lab: Any) -> Proof:
    from podvnet.runtime.probe import seen_as

    outbound = {each["name"]: each["nics"][0]["outbound"] for each in lab.status()["virtualMachines"]}
    seen = {pod.name: (seen_as(pod.descriptor, INTERNET_HOST), outbound[pod.vm]) for pod in lab.pods.values()}
    holds = all(got == wanted for got, wanted in seen.values())
    words = f"the internet saw pods of vm1 as {outbound['vm1']}, of vm2 as {outbound['vm2']}"
    if not holds:
        words = "; ".join(
            f"{name} was seen as {got or 'nothing'}, not {wanted}" for name, (got, wanted) in seen.items()
        )
    return Proof("pods reach the internet from the public address of their VM's primary ip-configuration", holds, words)


def _exceptions(lab: Any) -> Proof:
    from podvnet.runtime.probe import seen_as

    lab.install("vm2", "--non-masquerade", f"{INTERNET_HOST}/32")
    pod = lab.run_pod("untranslated", "vm2")
    before = lab.dropped("no_outbound")
    seen = seen_as(pod.descriptor, INTERNET_HOST, timeout=0.5)
    dropped = lab.dropped("no_outbound") - before
    lab.delete_pod("untranslated")
    words = (
        f"{pod.address} left vm2 untranslated; the network's edge, which translates primary addresses only,"
        f" dropped {dropped}"
    )
    return Proof("with a nonMasquerade exception a pod keeps its own address", not seen and dropped > 0, words)


def _pool(lab: Any) -> Proof:
    from podvnet.testing.burst import Burst

    with Burst(lab, "vm1") as burst:
        made = burst.add(_POOL - 3)
        reached = burst.reached_from(lab.vm("vm2"))
        refusal = burst.refused()
        burst.delete_all()
        held = burst.held()
    words = (
        f"{made + 3} pods, {reached + 3} reached from vm2; one more: {refusal.get('msg', 'was not refused')}; after"
        f" deleting them {held} addresses are held, by the 3 pods from before"
    )
    holds = made == _POOL - 3 and reached == made and refusal.get("code") == 101 and held == 3
    return Proof(f"{_POOL} pods on one VM, all reachable; the next is refused; all addresses come back", holds, words)


@contextmanager
def _example() -> Iterator[Path]:
    checkout = Path(__file__).parents[3] / "examples" / "two-subnets.yaml"
    if checkout.exists():
        yield checkout
        return
    with resources.as_file(resources.files("podvnet") / "examples" / "two-subnets.yaml") as packaged:
        yield packaged
