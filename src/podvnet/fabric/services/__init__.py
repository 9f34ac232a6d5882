"""Stand-ins of Azure's services: real programs behind their public names, and the word of their firewalls."""
