"""One window of one table end to end, and what a catch-up or a range consists of."""
