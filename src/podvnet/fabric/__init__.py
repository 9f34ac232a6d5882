"""The fabric: what stands in for Azure on one machine, from ARM down to packets."""
