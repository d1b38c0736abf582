"""What reaches into Dagster: event storage, states of checks, and captured output."""
