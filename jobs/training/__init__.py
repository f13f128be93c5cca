"""Training: what a model learns from, how it is compared, and what becomes of it."""
