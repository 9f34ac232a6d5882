"""Clients of what a VM can see: the wireserver, the Instance Metadata Service, and the file that stands in for them.

Each source is read into the same value, :class:`podvnet.azure.inventory.Inventory`, and each fails with the same
error, :class:`podvnet.azure.error.SourceError`. Reading bytes (``parse_…``) is pure; getting them (``fetch_…``,
``read_…``) is one exchange without a retry, because only the caller knows how long a pod can wait.
"""
