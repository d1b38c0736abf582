"""Pages, plots and terminal tables that show what a run built.

Everything here is pure: frames and plain values in, strings or rich tables out. Reading the lake
and writing files belong to the callers.
"""
