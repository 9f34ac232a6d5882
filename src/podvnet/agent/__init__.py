"""The resident node process: ledger, pool, attach, egress, reconciliation, sockets."""
