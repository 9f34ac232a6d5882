"""Azure's own API in front of the engine: the resource manager over HTTPS, and the endpoints its clients log in by."""
