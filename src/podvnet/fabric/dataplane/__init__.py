"""Backends that carry a program out. ``linux`` uses the namespaces of one machine."""
