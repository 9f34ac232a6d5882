"""Gateways that carry packets: what runs them, and what they say of themselves."""
