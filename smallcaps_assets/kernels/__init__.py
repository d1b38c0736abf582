"""Compiled loops: arrays in, arrays out.

A kernel has no prints, no raises, no optional arguments and no frames: its wrapper in `domain`
checks the arrays first. Nothing is compiled at import.
"""
