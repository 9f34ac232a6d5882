"""Brings a cluster up on VMs of the fabric. Every step converges: one that was killed half-way is begun again."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from podvnet.cluster import image
from podvnet.cluster import programs as kubernetes
from podvnet.cluster.certificates import Subject
from podvnet.cluster.cluster_dns import NAME as DNS_NAME
from podvnet.cluster.cluster_dns import NAMESPACE as DNS_NAMESPACE
from podvnet.cluster.cluster_dns import cluster_dns
from podvnet.cluster.control_plane import KUBECTL, Part, control_plane
from podvnet.cluster.fabric_vm import AGENT_OPTIONS, PODVNET, VmFacts, agent_unit, at_boot, keep_aside
from podvnet.cluster.file import File
from podvnet.cluster.node import (
    AUTHORITY,
    CNI_PROGRAMS,
    CONTAINERD_SOCKET,
    FABRIC_HOST,
    KUBELET_KUBECONFIG,
    PROXY_KUBECONFIG,
    SERVING,
    NodeSettings,
    node,
)
from podvnet.cluster.node_role import node_role
from podvnet.cluster.observation import units_of
from podvnet.cluster.pki import CLUSTER, Pki
from podvnet.cluster.programs import Programs
from podvnet.cluster.readiness import until
from podvnet.cluster.record import PKI, Record
from podvnet.cluster.unit import UNITS
from podvnet.cluster.vm import Vm, VmError
from podvnet.model.address import Address

_SECONDS = 180.0
_REFERENCE_PLUGINS = Path("/usr/lib/cni")
"""Where Debian has them."""

Progress = Callable[[str], None]


class Cluster:
    """A cluster on VMs of the fabric.

    Args:
        record: what it is.
        directory: where its keys are kept.
        machines: its VMs by name.
        facts: what the fabric says of them.
        programs: those of Kubernetes, of containerd, of the system.
    """

    def __init__(
        self,
        record: Record,
        directory: Path,
        machines: Mapping[str, Vm],
        facts: Mapping[str, VmFacts],
        programs: Programs,
    ) -> None:
        self.record = record
        self.settings = record.settings
        self._pki = Pki(directory / PKI, dt.datetime.now(dt.UTC))
        self._machines = machines
        self._facts = facts
        self._programs = programs

    @property
    def control(self) -> Vm:
        """The VM of the control plane."""
        return self._machines[self.record.control]

    def up(self, progress: Progress) -> None:
        """Bring it up; return when all nodes are ready and the cluster's DNS answers.

        Raises:
            VmError, NotReadyError, ImageError: what went wrong.
        """
        progress("starting etcd and the control plane")
        self._start_control_plane()
        progress(f"starting {', '.join(self.record.nodes)}")
        archives = tempfile.TemporaryDirectory()
        with archives as folder, ThreadPoolExecutor(max(1, len(self.record.nodes))) as pool:
            images = self._write_images(Path(folder))
            api = pool.submit(self._await_api)
            for _ in pool.map(lambda name: self._start_node(name, images), self.record.nodes):
                pass
            api.result()
        progress("waiting for the nodes and the cluster's DNS")
        self.apply([*node_role(), *cluster_dns(self.settings, replicas=min(2, len(self.record.nodes)))])
        self._await_nodes()
        self._kubectl("-n", DNS_NAMESPACE, "rollout", "status", f"deployment/{DNS_NAME}", f"--timeout={_SECONDS:g}s")

    def kubectl(self, *argv: str, given: bytes = b"") -> str:
        """What kubectl says, as the administrator.

        Raises:
            VmError: it failed.
        """
        return self._kubectl(*argv, given=given)

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Make objects be as they are said to be.

        Raises:
            VmError: the API refuses.
        """
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(listed).encode())

    def _kubectl(self, *argv: str, given: bytes = b"") -> str:
        return self.control.run(KUBECTL, *argv, given=given)

    # -- the control plane

    def _start_control_plane(self) -> None:
        part = control_plane(self.settings, self.record.control, self._pki, self._programs)
        self._start(self.control, part, node=False)

    def _await_api(self) -> None:
        def said() -> str:
            words = (f"{unit}: {self.control.last_words(unit)}" for unit in ("etcd", "kube-apiserver"))
            return "the API server does not answer. " + "; ".join(words)

        until(lambda: self.control.succeeds(KUBECTL, "get", "--raw=/readyz"), _SECONDS, said)

    # -- nodes

    def _start_node(self, name: str, images: list[Path]) -> None:
        vm, facts = self._machines[name], self._facts[name]
        settings = NodeSettings(
            name,
            self._addresses(facts),
            self.settings.spoken(facts.subnets),
            self.record.max_pods or facts.pool,
            self.settings.dns_service,
            self.settings.images.pause,
            facts.provider_id,
            facts.labels,
            self.settings.pods,
            self.settings.proxy,
            self.settings.domain,
            FABRIC_HOST,
        )
        part = node(settings, self._programs)
        part = Part((*part.files, *self._identities(facts)), (*part.units, agent_unit()))
        self._start(vm, part, node=True)
        self._await_containerd(vm)
        for archive in images:
            vm.run(
                self._programs["ctr"], "-n", "k8s.io", "image", "import", "-", given=archive.read_bytes(), timeout=300
            )
        until(
            lambda: vm.succeeds(*PODVNET, "status", "--json"),
            _SECONDS,
            lambda: f"{name}: the agent does not answer: {vm.last_words('podvnet-agent')}",
        )
        # The conflist is last: with it the node is ready.
        options = ["--plugins-from", str(_REFERENCE_PLUGINS)] if _REFERENCE_PLUGINS.is_dir() else []
        vm.run(
            *(*PODVNET, "install", "--kubernetes", "--no-agent", "--mode", str(self.settings.pods)),
            *("--bin-dir", CNI_PROGRAMS, *options),
        )

    def _addresses(self, facts: VmFacts) -> tuple[Address, ...]:
        """Those of a VM that the cluster knows."""
        both = self.settings.services6 is not None and facts.address6 is not None
        return (facts.address, *((facts.address6,) if both else ()))

    def _identities(self, facts: VmFacts) -> tuple[File, ...]:
        name, pki = facts.name, self._pki
        serving = pki.issued(
            f"kubelet-{name}",
            CLUSTER,
            Subject(f"system:node:{name}", ("system:nodes",), (name, *map(str, self._addresses(facts))), ("server",)),
        )
        kubelet = pki.kubeconfig_of(self.settings, f"system:node:{name}", "system:nodes")
        proxy = pki.kubeconfig_of(self.settings, "system:kube-proxy")
        return (
            File(AUTHORITY, pki.authority(CLUSTER).own.certificate),
            File(f"{SERVING}.crt", serving.certificate),
            File(f"{SERVING}.key", serving.key, 0o600),
            File.document(KUBELET_KUBECONFIG, kubelet, 0o600),
            File.document(PROXY_KUBECONFIG, proxy, 0o600),
            File.text(AGENT_OPTIONS, f"PODVNET_KUBECONFIG={KUBELET_KUBECONFIG}\n"),
        )

    def _await_containerd(self, vm: Vm) -> None:
        """Wait until containerd serves kubelet. It goes on without its CRI when that could not be started once."""
        question = (self._programs["ctr"], "--address", CONTAINERD_SOCKET, "plugins", "ls", "id==cri")

        def serves() -> bool:
            state = vm.run(*question, check=False).split()[-1:]
            if state == ["error"]:
                running = (unit.process for unit in units_of(vm) if unit.name == "containerd" and unit.process)
                for process in running:
                    vm.run("kill", str(process), check=False)  # its keeper begins it anew
            return state == ["ok"]

        until(serves, _SECONDS, lambda: f"{vm.name}: containerd serves no CRI: {vm.last_words('containerd')}")

    def _write_images(self, folder: Path) -> list[Path]:
        """The images that are made here: those whose names are nobody's."""
        made = []
        images = self.settings.images
        if images.pause.startswith("localhost/"):
            made.append(folder / "pause.tar")
            image.pause(images.pause, made[-1])
        if images.dns.startswith("localhost/"):
            made.append(folder / "dns.tar")
            image.program(images.dns, made[-1], Path(self._programs[kubernetes.DNS]), "coredns")
        return made

    def _await_nodes(self) -> None:
        for name in self.record.nodes:
            try:
                self._kubectl("wait", "--for=create", f"node/{name}", f"--timeout={_SECONDS:g}s")
                self._kubectl("wait", "--for=condition=Ready", f"node/{name}", f"--timeout={_SECONDS:g}s")
            except VmError as error:
                words = self._machines[name].last_words("kubelet")
                raise VmError(f"node {name} is not ready: {error}; kubelet: {words}") from None

    # -- any VM

    @staticmethod
    def _start(vm: Vm, part: Part, *, node: bool) -> None:
        """Write what a VM needs and begin its keeper, or tell it to look again."""
        vm.script(keep_aside())
        wanted = {unit.name for unit in part.units}
        stale = [
            each
            for each in vm.script(f"ls {UNITS} 2>/dev/null || true").split()
            if each.removesuffix(".json") not in wanted
        ]
        if stale:
            vm.run("rm", "-f", *(f"{UNITS}/{each}" for each in stale))
        boot = at_boot(node=node)
        units = part.with_revisions().units
        vm.write((*part.files, *(unit.for_keeper() for unit in units), boot))
        vm.run(boot.path)
