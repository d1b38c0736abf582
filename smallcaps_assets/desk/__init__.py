"""The trading desk: orders, their journal and kill switch, the bridge to a broker.

A pure reducer (`core`) and the little around it that meets clock, files and sockets (`runtime`).
Knows nothing of Dagster, and but for `replay` and `matching` nothing of lake and market data.
"""
