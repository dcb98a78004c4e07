"""The newton schedule: all time steps at once, by iteration."""
