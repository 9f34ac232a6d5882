"""Who may speak to the resource manager: the fabric's own certificate authority, its principals, and their tokens."""
