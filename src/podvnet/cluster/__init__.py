"""A self-managed Kubernetes cluster on VMs: certificates, programs, and what a node needs."""
