"""The CPU schedule: the time loop of a plan in C++, compiled on first use."""
