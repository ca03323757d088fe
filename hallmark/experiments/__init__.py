"""Experiments on the pipeline itself: search spaces and studies, trials in isolation, interventions, folds."""
