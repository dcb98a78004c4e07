"""Two runs side by side: what became faster or slower, and what no longer works."""
