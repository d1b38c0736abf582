"""Pure functions on polars frames: the algorithms of the project, usable without Dagster.

Nothing here reads a file, a clock, the network or an environment variable.
"""
