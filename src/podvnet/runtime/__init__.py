"""A very small container runtime: pods are bare namespaces, joined to networks by executing CNI plug-ins.

What ``podvnet pod`` uses, and the tests: they drive the plug-in the way containerd does, through its executable.
"""
