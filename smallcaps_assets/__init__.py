"""US small-cap market data as Dagster assets: from vendor files to labelled, weighted events.

`smallcaps_assets.domain` and `smallcaps_assets.kernels` are usable on their own, without Dagster.
"""

__version__ = "0.1.0"
