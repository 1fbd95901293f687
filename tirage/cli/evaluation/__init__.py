"""Many problems, and the figures that come of them."""
