"""The training loop: optimiser, schedule, input pipeline, checkpoints."""
