"""Hypothesis for all tests: no deadline, since machines are shared, and in CI the same examples
every time, so that a change is judged by what it changes. Without CI each run looks further.
"""

import os

from hypothesis import settings

settings.register_profile("explore", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")
