"""What was listed and traded: calendar, adjustment, universe, daily metrics, history."""
