"""containerd in a VM of a lab, driven over the CRI as kubelet drives it. Needs the packages of the tests' lock."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from cri_api.v1 import api_pb2 as cri
from cri_api.v1.api_pb2_grpc import ImageServiceStub, RuntimeServiceStub

from podvnet.testing import image
from podvnet.testing.cni import eventually
from podvnet.testing.engine import IMAGE, SERVER, Container, Daemon, EngineError
from podvnet.testing.lab import Lab

SOCKET = "/run/containerd/containerd.sock"
PAUSE = "localhost/pause:1"
_CONFIG = "/etc/containerd/config.toml"
_WHERE_PLUGINS_ARE = 's|bin_dir = "/usr/lib/cni"|bin_dir = "/opt/cni/bin"|'
"""What docs/containerd.md changes for the CRI; the rest is Debian's."""
_SETTINGS = f"""/grpc.v1.cri"]$/a \\
    sandbox_image = "{PAUSE}"\\
    restrict_oom_score_adj = true  # where the tests run root may not lower it
"""
_DEADLINE = 120.0


class Containerd:
    """containerd on a VM. A pod has one container of the same name."""

    def __init__(self, lab: Lab, vm: str) -> None:
        self.lab = lab
        self.vm = vm
        self._daemon = Daemon(lab, vm, "/usr/bin/containerd")
        self._channel: grpc.Channel | None = None
        self._pods: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    # -- the daemon

    def start(self) -> None:
        """Start it with our plug-in for the CRI, and its images."""
        self.lab.inside(self.vm, "sed", "-i", _WHERE_PLUGINS_ARE, _CONFIG)
        self.start_for_pods()

    def start_for_pods(self) -> None:
        """Start it with the images, and the sandbox's image in its settings."""
        if PAUSE not in self.lab.inside(self.vm, "cat", _CONFIG).stdout:
            self.lab.inside(self.vm, "sed", "-i", _SETTINGS, _CONFIG)
        self.start_daemon()
        if not self.images().ListImages(cri.ListImagesRequest(), timeout=_DEADLINE).images:
            self.load()

    def start_daemon(self) -> None:
        """Start it; return when the CRI answers."""
        self._hang_up()
        self._daemon.start()
        self._daemon.wait_for(SOCKET)
        # The socket is in the VM's /run; the threads of gRPC are not.
        self._channel = grpc.insecure_channel(f"unix:/proc/{self._daemon.process}/root{SOCKET}")
        if not eventually(self._initialized):
            raise EngineError(f"the CRI of {self.vm} does not answer: {self._daemon.last_words()}")

    def _initialized(self) -> bool:
        """Whether the CRI serves: it listens before it has read what it knew."""
        try:
            self.runtime().Status(cri.StatusRequest(), timeout=_DEADLINE, wait_for_ready=True)
        except grpc.RpcError as error:
            if "not initialized yet" in str(error):
                return False
            raise
        return True

    def load(self) -> None:
        """Import the images, for the CRI and for ``ctr``."""
        for namespace, name, write in (
            ("k8s.io", PAUSE, image.pause),
            ("k8s.io", IMAGE, image.busybox),
            ("default", IMAGE, image.busybox),
        ):
            with image.temporary(name, write) as archive:
                self.lab.inside(self.vm, "ctr", "-n", namespace, "image", "import", str(archive))

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Signal it and wait for its end. Its shims and their containers go on."""
        self._daemon.end(how)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def runtime(self) -> RuntimeServiceStub:
        """The CRI's runtime service."""
        return RuntimeServiceStub(self._connected())  # type: ignore[no-untyped-call]

    def images(self) -> ImageServiceStub:
        """The CRI's image service."""
        return ImageServiceStub(self._connected())  # type: ignore[no-untyped-call]

    def _connected(self) -> grpc.Channel:
        if self._channel is None:
            raise EngineError(f"containerd is not running on {self.vm}")
        return self._channel

    # -- pods

    def run(self, name: str, *command: str, ports: Sequence[tuple[int, int]] = ()) -> Container:
        """Run a pod with one container."""
        return self.run_pod(name, *command, ports=ports)

    def run_pod(
        self,
        name: str,
        *command: str,
        ports: Sequence[tuple[int, int]] = (),
        dns: cri.DNSConfig | None = None,
        annotations: Mapping[str, str] | None = None,
        host_network: bool = False,
    ) -> Container:
        """Run a pod with one container, as kubelet does: three calls."""
        config = _configuration(name, cri.NamespaceMode.NODE if host_network else cri.NamespaceMode.POD)
        config.hostname = "" if host_network else name
        if dns is not None:
            config.dns_config.CopyFrom(dns)
        config.port_mappings.extend(cri.PortMapping(host_port=host, container_port=inner) for host, inner in ports)
        config.annotations.update(annotations or {})
        runtime = self.runtime()
        request = cri.RunPodSandboxRequest(config=config)
        pod = runtime.RunPodSandbox(request, timeout=_DEADLINE).pod_sandbox_id
        with self._lock:
            self._pods[name] = (pod, "")
        self._start_container(name, config, command or SERVER)
        return self.inspect(name)

    def restart_container(self, name: str) -> None:
        """End a pod's container and start another in its place, as kubelet does when one has failed."""
        _, container = self._pods[name]
        runtime = self.runtime()
        runtime.StopContainer(cri.StopContainerRequest(container_id=container, timeout=0), timeout=_DEADLINE)
        runtime.RemoveContainer(cri.RemoveContainerRequest(container_id=container), timeout=_DEADLINE)
        self._start_container(name, _configuration(name, cri.NamespaceMode.POD), SERVER)

    def _start_container(self, name: str, pod_config: cri.PodSandboxConfig, command: Sequence[str]) -> None:
        pod, _ = self._pods[name]
        request = cri.CreateContainerRequest(
            pod_sandbox_id=pod,
            config=cri.ContainerConfig(
                metadata=cri.ContainerMetadata(name=name),
                image=cri.ImageSpec(image=IMAGE),
                command=command,
                linux=cri.LinuxContainerConfig(),
            ),
            sandbox_config=pod_config,
        )
        runtime = self.runtime()
        container = runtime.CreateContainer(request, timeout=_DEADLINE).container_id
        with self._lock:
            self._pods[name] = (pod, container)
        runtime.StartContainer(cri.StartContainerRequest(container_id=container), timeout=_DEADLINE)

    def inspect(self, name: str) -> Container:
        """What ``crictl inspectp`` shows of a pod."""
        pod, _ = self._pods[name]
        answer = self.runtime().PodSandboxStatus(
            cri.PodSandboxStatusRequest(pod_sandbox_id=pod, verbose=True), timeout=_DEADLINE
        )
        network = answer.status.network
        found: dict[str, Any] = json.loads(answer.info["info"]).get("cniResult") or {"Interfaces": {}}
        inside = found["Interfaces"].get("eth0") or {}
        return Container(
            name,
            pod,
            (network.ip, *(each.ip for each in network.additional_ips)),
            next((each["Gateway"] for each in inside.get("IPConfigs", ()) if ":" not in each["IP"]), ""),
            inside.get("Mac", ""),
        )

    def execute(self, name: str, *command: str) -> str:
        """Run a program in a pod's container; its output, whatever its exit code."""
        answer = self.runtime().ExecSync(
            cri.ExecSyncRequest(container_id=self._pods[name][1], cmd=command, timeout=30), timeout=_DEADLINE
        )
        if answer.stderr and answer.exit_code:
            raise EngineError(f"{' '.join(command)} in {name}: {answer.stderr.decode()}")
        output: bytes = answer.stdout
        return output.decode()

    def stop(self, name: str) -> None:
        """Stop a pod, which takes it off the network. kubelet removes it some time later."""
        request = cri.StopPodSandboxRequest(pod_sandbox_id=self._pods[name][0])
        self.runtime().StopPodSandbox(request, timeout=_DEADLINE)

    def remove(self, name: str) -> None:
        """Stop a pod and remove it."""
        self.stop(name)
        request = cri.RemovePodSandboxRequest(pod_sandbox_id=self._pods[name][0])
        self.runtime().RemovePodSandbox(request, timeout=_DEADLINE)
        with self._lock:
            del self._pods[name]

    # -- the node

    def listed(self) -> dict[str, str]:
        """The ids of the pods that containerd knows, ready or not, by name: what ``crictl pods`` lists."""
        answer = self.runtime().ListPodSandbox(cri.ListPodSandboxRequest(), timeout=_DEADLINE)
        return {each.metadata.name: each.id for each in answer.items}

    def remove_all(self) -> None:
        """Stop and remove every pod containerd knows, as kubelet does with those it does not want."""
        with self._lock:
            self._pods = {name: (pod, "") for name, pod in self.listed().items()}
        for name in list(self._pods):
            self.remove(name)

    def network_ready(self) -> tuple[bool, str]:
        """What kubelet learns of the node's network, and the message when it is not ready."""
        answer = self.runtime().Status(cri.StatusRequest(), timeout=_DEADLINE)
        condition = next(each for each in answer.status.conditions if each.type == "NetworkReady")
        return condition.status, condition.message


def _configuration(name: str, network: cri.NamespaceMode.ValueType) -> cri.PodSandboxConfig:
    """What kubelet says of a pod in every call that is about it."""
    namespaces = cri.NamespaceOption(network=network, pid=cri.NamespaceMode.CONTAINER)
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default"),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent="/kubepods",
            security_context=cri.LinuxSandboxSecurityContext(namespace_options=namespaces),
        ),
    )
