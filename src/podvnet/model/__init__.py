"""Frozen values and pure rules of the domain: prefixes, NICs, ip-configurations, kernel objects, limits, errors.

Imports the standard library only. IPv4 and IPv6 stand side by side in every value.
"""
