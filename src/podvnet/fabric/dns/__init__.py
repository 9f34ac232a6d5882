"""The platform's resolver, 168.63.129.16: what names mean in each virtual network, and the servers that say so."""
