"""Patterns of a tape: the events at which they were known, their labels and their cost."""
