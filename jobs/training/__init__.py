"""Training: the training records, the trainers, the comparison with the champion and the model card."""
