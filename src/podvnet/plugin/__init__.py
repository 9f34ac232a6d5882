"""What a container runtime executes, and the CNI contract it is held to.

``shim/`` is the executable (``azure-vnet``, ``azure-vnet-ipam``): it forwards environment, stdin and the descriptor of
the pod's network namespace to the resident agent and copies the answer back. Everything else here is the contract as
pure values, for the agent's side of that socket:

==================  ===================================================================================
``frame``           the bytes between shim and agent
``request``         environment + stdin -> ``Request``
``network_config``  the plug-in object on stdin -> ``NetworkConfig``
``runtime_config``  the per-pod part of it a runtime fills in (``runtimeConfig``, ``args.cni``)
``document``        how a JSON object of a stranger is read: typed, bounded, nothing ignored in silence
``result``          the answer to ADD, in every shape from CNI 0.1.0 to 1.1.0
``error``           the answer when something is wrong
``version``         which versions there are and what each verb needs
==================  ===================================================================================

Nothing here touches the kernel, the disk or the network (``frame.call`` excepted, a client for tests and tools), and
nothing heavy is imported: parse and render run once per pod inside a budget of about a millisecond.
"""
