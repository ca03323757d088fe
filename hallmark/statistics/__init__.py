"""Statistics and features that several rooms share; each is computed in one place."""
