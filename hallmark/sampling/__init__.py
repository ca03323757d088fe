"""Which training image is seen how often, and with what weight."""
