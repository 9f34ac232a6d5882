"""Controllers that turn Kubernetes objects into calls of the resource manager and requests to agents."""
