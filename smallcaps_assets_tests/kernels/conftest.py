"""Hypothesis without deadlines: the first example of a test compiles its kernel.

The same tests check the kernels as plain Python when NUMBA_DISABLE_JIT=1 is in the environment.
"""

from hypothesis import settings

settings.register_profile("kernels", deadline=None, max_examples=100)
settings.load_profile("kernels")
