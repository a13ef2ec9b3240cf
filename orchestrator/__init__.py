"""Data -> action -> prompt -> (queue) -> group -> advantage -> update -> weights."""
