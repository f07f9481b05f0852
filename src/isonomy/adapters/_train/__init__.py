"""What ``BiasAwareTrainer`` adds to the Trainer: counts, one step's sums, files, metrics."""
