"""The simulated market: companies, tapes, bars and the facts beside them, from a seed."""
