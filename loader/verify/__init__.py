"""Both sides compared by digests, and what differs."""
