"""Several processes as one service: what a worker is, and who looks after them."""
