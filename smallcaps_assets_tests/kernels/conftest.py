"""Hypothesis without deadlines: the first example of a test compiles its kernel."""

from hypothesis import settings

settings.register_profile("kernels", deadline=None, max_examples=100)
settings.load_profile("kernels")
