"""Whether stored tables are as they should be: findings, coverage, what has changed."""
