"""Orders, their fills and costs, and the risk rules: what a backtest and a desk share."""
