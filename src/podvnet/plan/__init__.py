"""Decisions, pure: what addresses to give, what each namespace should hold, what must change to get there.

Nothing here reads a clock, a file or the kernel.
"""
