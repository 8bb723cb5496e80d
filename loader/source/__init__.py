"""MySQL: connect, describe, plan the read, rows off the wire, the text of each value."""
