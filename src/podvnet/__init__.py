"""podvnet: containers on an Azure virtual network, and a local Azure network whose packets obey the ARM objects.

The rooms, and what may import what, are in CONTRIBUTING.md and checked by import-linter.
"""

__version__ = "0.1.0"
