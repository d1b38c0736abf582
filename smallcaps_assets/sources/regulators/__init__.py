"""FINRA, the SEC, Nasdaq and the exchanges: public files and feeds."""
