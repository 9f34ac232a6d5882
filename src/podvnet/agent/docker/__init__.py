"""Docker's remote network and IPAM driver. Imported only by an agent that is told to serve Docker."""
