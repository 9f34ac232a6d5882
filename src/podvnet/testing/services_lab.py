"""A lab with an API server and the controller of Services: Services and their endpoints written, packets sent."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podvnet.kube.service_rbac import LEASE_RULES, RULES
from podvnet.runtime.probe import seen_as
from podvnet.testing.api_server import AnswerError, ApiServer, api_server
from podvnet.testing.cni import eventually
from podvnet.testing.lab import PODVNET, Lab, laboratory

CONTROL = "control"
CLASS = "podvnet.io/pods"
INTERVAL = 0.5
"""Seconds between rounds of the controller."""
PORT = 7070
_SECONDS = 120.0
_SERVICES = "/api/v1/namespaces/default/services"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"

Object = dict[str, Any]


class Controller:
    """``podvnet controller`` on the VM of the API server, as a user who may do no more than the documentation says."""

    def __init__(self, lab: Lab, kubeconfig: str, *options: str) -> None:
        command = [*PODVNET, "controller", "--kubeconfig", kubeconfig, "--cluster-name", "test", *options]
        into = 'exec "$@" >>/var/log/controller.log 2>&1 </dev/null'
        self._lab = lab
        self._process = subprocess.Popen(
            lab.command(CONTROL, "sh", "-c", into, "sh", *command), env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end; return its exit code."""
        self._process.send_signal(how)
        return self._process.wait(_SECONDS)

    def log(self) -> str:
        """What it said."""
        return self._lab.inside(CONTROL, "cat", "/var/log/controller.log").stdout


class ServicesLab:
    """The lab.

    Attributes:
        controller: the one that was started last.
    """

    def __init__(self, lab: Lab, api: ApiServer) -> None:
        self.lab = lab
        self.api = api
        api.allow_limited(RULES, LEASE_RULES)
        self._kubeconfig = api.kubeconfig("/var/lib/etcd/limited.conf", limited=True)
        self._numbers = itertools.count()
        self.controller = self.start()

    def start(self, *options: str) -> Controller:
        """Start another controller."""
        self.controller = Controller(
            self.lab, self._kubeconfig, "--interval", str(INTERVAL), "--tidy-after", "1", *options
        )
        return self.controller

    # -- objects

    def service(self, name: str, *, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
        """Make a Service of port 80 that leads to the pods' 7070, but for what its specification says."""
        wanted = {
            "type": "LoadBalancer",
            "loadBalancerClass": CLASS,
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"name": "web", "port": 80, "targetPort": PORT}],
        } | spec  # fmt: skip
        return self.api.ask("POST", _SERVICES, {"metadata": {"name": name, "annotations": annotations}, "spec": wanted})

    def change(self, name: str, patch: Object) -> Object:
        """Change a Service."""
        return self.api.patch(f"{_SERVICES}/{name}", patch)

    def serve(self, name: str, *addresses: str, ready: bool = True) -> None:
        """These addresses stand behind a Service, and no other."""
        for version, kind in ((4, "IPv4"), (6, "IPv6")):
            chosen = [each for each in addresses if (":" in each) == (version == 6)]
            self._slice(f"{name}-{version}", name, kind, chosen, ready=ready)

    def _slice(self, slice_name: str, name: str, kind: str, addresses: Sequence[str], *, ready: bool) -> None:
        ports = self.api.ask("GET", f"{_SERVICES}/{name}")["spec"]["ports"]
        body: Object = {
            "metadata": {"name": slice_name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": kind,
            "ports": [
                {"name": each.get("name", ""), "protocol": each["protocol"], "port": each["targetPort"]}
                for each in ports
            ],
            "endpoints": [{"addresses": [each], "conditions": {"ready": ready}} for each in addresses],
        }
        try:
            self.api.ask("PUT", f"{_SLICES}/{slice_name}", body)
        except AnswerError as error:
            if error.status != 404 or not addresses:
                if error.status != 404:
                    raise
                return
            self.api.ask("POST", _SLICES, body)

    def churn(self, name: str, rounds: Iterable[Sequence[str]]) -> None:
        """These addresses of IPv4 stand behind a Service, then those, as fast as the API server takes it."""
        path = f"{_SLICES}/{name}-4"
        body = self.api.ask("GET", path)
        del body["metadata"]["resourceVersion"]
        for addresses in rounds:
            body["endpoints"] = [{"addresses": [each], "conditions": {"ready": True}} for each in addresses]
            self.api.ask("PUT", path, body)

    def delete(self, name: str) -> None:
        """Delete a Service and its endpoints; return once it is gone."""
        try:
            self.api.ask("DELETE", f"{_SERVICES}/{name}")
        except AnswerError as error:
            if error.status != 404:
                raise
        for version in (4, 6):
            try:
                self.api.ask("DELETE", f"{_SLICES}/{name}-{version}")
            except AnswerError as error:
                if error.status != 404:
                    raise
        assert eventually(lambda: not self.exists(name), _SECONDS), self.controller.log()[-2000:]  # noqa: S101

    def delete_all(self) -> None:
        """Delete every Service of ours."""
        for each in self.api.ask("GET", _SERVICES)["items"]:
            if each["metadata"]["name"] != "kubernetes":
                self.delete(each["metadata"]["name"])

    def exists(self, name: str) -> bool:
        """Whether a Service is there."""
        return any(each["metadata"]["name"] == name for each in self.api.ask("GET", _SERVICES)["items"])

    def addresses(self, name: str, count: int = 1) -> list[str]:
        """The addresses in a Service's status, once there are so many.

        Raises:
            AssertionError: there are not, and what the controller said.
        """
        found: list[str] = []

        def there() -> bool:
            status = self.api.ask("GET", f"{_SERVICES}/{name}")["status"]
            found[:] = [each["ip"] for each in status.get("loadBalancer", {}).get("ingress", [])]
            return len(found) == count

        if not eventually(there, _SECONDS):
            msg = f"{name} has {found}, not {count} addresses\n{self.events(name)}\n{self.controller.log()[-3000:]}"
            raise AssertionError(msg)
        return found

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of what was said of a Service."""
        items = self.api.ask("GET", "/api/v1/namespaces/default/events")["items"]
        return [(each["reason"], each["message"]) for each in items if each["involvedObject"]["name"] == name]

    def said(self, name: str, reason: str) -> bool:
        """Wait until something is said of a Service."""
        return eventually(lambda: any(each == reason for each, _ in self.events(name)), _SECONDS)

    # -- resources

    def resources(self) -> dict[str, Object]:
        """What the fabric has, by type and name."""
        return {f"{each['type'].rsplit('/', 1)[-1]}/{each['name']}": each for each in self.lab.status()["resources"]}

    def left(self) -> list[str]:
        """What is there of Services: resources, rules of security groups."""
        found = self.resources()
        rules = found["networkSecurityGroups/pods"]["properties"]["securityRules"]
        kinds = ("loadBalancers", "publicIPAddresses")
        return [
            *(each for each in found if each.split("/")[0] in kinds and each != "publicIPAddresses/theirs"),
            *(each["name"] for each in rules if each["name"] != "theirs"),
        ]

    def members(self) -> list[str]:
        """The members of all pools of load balancers."""
        return sorted(
            member["properties"]["ipAddress"]
            for key, each in self.resources().items()
            if key.startswith("loadBalancers/")
            for pool in each["properties"]["backendAddressPools"]
            for member in pool["properties"]["loadBalancerBackendAddresses"]
        )

    def six(self, vm: str) -> str:
        """The IPv6 address of a VM."""
        configurations = self.resources()[f"networkInterfaces/{vm}-nic"]["properties"]["ipConfigurations"]
        found = (each["properties"]["privateIPAddress"] for each in configurations if each["name"] == "six")
        return str(next(found))

    def writes(self) -> int:
        """How many writes the controllers have said that the resource manager has carried out."""
        log = self.controller.log()
        return log.count('"event": "written"') + log.count('"event": "deleted"')

    # -- packets

    def seen(self, caller: str, address: str, port: int = 80, source: str = "") -> str:
        """Which address a pod sees of a caller (a VM, or ``internet``); empty when none is reached."""
        descriptor = self.lab.internet() if caller == "internet" else self.lab.vm(caller)
        return seen_as(descriptor, address, port=port, source=source)

    def reaches(self, caller: str, address: str, as_: str, port: int = 80, source: str = "") -> bool:
        """Wait until a caller reaches a pod, which sees the address."""
        return eventually(lambda: self.seen(caller, address, port, source) == as_, _SECONDS)

    def called(self, since: int) -> set[str]:
        """The pods that were called since so many calls."""
        return {pod for pod, _ in self.lab.servers.callers[since:]}


@contextmanager
def services_lab(file: Path) -> Iterator[ServicesLab]:
    """Bring a file up, with the API server and the controller on the VM ``control``."""
    with laboratory(file) as lab, api_server(lab, CONTROL) as api:
        made = ServicesLab(lab, api)
        try:
            yield made
        finally:
            made.controller.end()
