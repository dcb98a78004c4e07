"""The loop over time in C++, for any plan on a CPU."""
