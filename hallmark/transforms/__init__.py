"""Augmentation policies, their audit and their previews."""
