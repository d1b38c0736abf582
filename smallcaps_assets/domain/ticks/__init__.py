"""The tape of one ticker-session: conditions, sides, halts, and bars by the clock."""
