"""Which ticker-days are worth their ticks, by which rule, and how many they are."""
