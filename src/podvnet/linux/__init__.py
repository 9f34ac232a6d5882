"""The one door to the kernel: namespaces, batched rtnetlink, nftables. Typed in, typed out; nothing about Azure.

Netlink messages are packed here and not by a library because a pod's attachment is paid for in them: a batch of
hand-packed messages costs under a millisecond, the same calls through a general library twenty (docs/performance.md).
"""
