"""Activity bars of one ticker-session: how they are cut, their features, their diagnostics."""
