"""Metrics of load balancers and NAT gateways, as Azure Monitor has them: sampled, kept for an hour, and shown."""
