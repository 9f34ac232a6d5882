"""Resource types of the resource manager: one file a type, with its JSON shape, its checks and its place in the intent.

The checks give Azure's own error codes. Nothing here performs I/O: a type *settles* a document against the world of
the other resources, which fills in what Azure would (ids, defaults, dynamic addresses) or refuses it.
"""
