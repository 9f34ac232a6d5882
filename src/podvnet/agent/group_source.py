"""The security groups of the VM's NIC, asked of the resource manager.

Imports azure-core and azure-identity, so it is imported only where groups are enforced.
"""

from __future__ import annotations

from podvnet.azure.effective_groups import QUESTION, read_groups
from podvnet.azure.error import SourceError
from podvnet.azure.imds import fetch_instance
from podvnet.azure.resource_manager import RefusedError, ResourceManager, find_nic
from podvnet.model.address import Mac
from podvnet.model.nic_security import NicSecurity
from podvnet.model.resource_id import ResourceId

_FORBIDDEN = 403
_RIGHTS = (
    "let the VM's identity ask for the effective groups of its NIC"
    " (Microsoft.Network/networkInterfaces/effectiveNetworkSecurityGroups/action, in the role Network Contributor), and"
    " read the VM and the NIC (role Reader)"
)


class GroupSource:
    """For one thread.

    Args:
        manager: who is asked.
    """

    def __init__(self, manager: ResourceManager) -> None:
        self._manager = manager
        self._nic: tuple[Mac, ResourceId] | None = None

    def read(self, mac: Mac) -> NicSecurity:
        """Ask what filters this VM's NIC with a MAC.

        Raises:
            SourceError: no usable answer.
        """
        try:
            nic = self._find(mac)
            return read_groups(self._manager.ask(nic, QUESTION), f"{nic}/{QUESTION}")
        except SourceError as error:
            self._nic = None  # what is wrong may be with whom we ask about
            if isinstance(error, RefusedError) and error.status == _FORBIDDEN:
                raise SourceError(error.message, _RIGHTS, error.retryable) from error
            raise

    def _find(self, mac: Mac) -> ResourceId:
        if self._nic is None or self._nic[0] != mac:
            self._nic = mac, find_nic(self._manager, fetch_instance().resource_id, mac)[0]
        return self._nic[1]
