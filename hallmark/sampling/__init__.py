"""How often each training image is shown, and with what weight."""
