"""Feeds beside prices: when each row was known, and what was known at a decision."""
