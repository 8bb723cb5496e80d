"""The page of charts that `loader report` writes: reading the marts, drawing them, the page."""
