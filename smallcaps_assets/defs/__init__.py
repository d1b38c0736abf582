"""The assets, one module per stage in the words of the data flow; thin declarations.

Each module pairs pure domain functions with the lake: it reads what a partition needs, calls the
function, and hands the rows to the partition runner. No algorithm and no Dagster machinery here.
"""
