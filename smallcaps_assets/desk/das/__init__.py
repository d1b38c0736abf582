"""DAS Trader Pro: its text protocol, a session with it over TCP, and a simulator of it."""
