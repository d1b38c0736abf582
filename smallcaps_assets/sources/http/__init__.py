"""HTTP for a polite and distrustful client: pace, retries, limits, decoding, a page cache."""
