"""What a backtest proves: figures of trades and accounts, each with its error or why there is none.

`figures` is the form of every result; `trades` judges trades, `account` daily profit and equity,
`overfitting` what a best of many trials is worth, `comparison` strategies side by side, `capacity`
larger sizes, `trials` the ledger of what has been tried, `summary` puts them together. Fills and
orders belong to `execution`, areas under the curve and probabilities to `evaluation`. Nothing here
reads a file.

Trades are frames with the columns of backtest_trades, days with those of backtest_days; money is in
USD. A trade without shares was refused, and counts nowhere but among the refusals.
"""
