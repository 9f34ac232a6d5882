"""What holds for tests of every kind."""

from hypothesis import settings

# How long an example takes says more about the machine than about us.
settings.register_profile("podvnet", deadline=None)
settings.load_profile("podvnet")
