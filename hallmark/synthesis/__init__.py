"""Class-conditional generation of training images, and the gates it must pass."""
