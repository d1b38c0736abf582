"""How each table is made: builders by stage, and the workspace that stores what they build.

One module of stages each: `reference`, `sessions`, `registry`, `feeds`, `ticks`, `coverage` and
`dataset`. A stage takes a workspace, tables and partition keys, and yields an outcome for each
partition; a builder reads the lake and the sources, and returns rows. What a partition is made from
is in `inputs`, what is found wrong with it in `findings`. Knows nothing of Dagster.
"""
