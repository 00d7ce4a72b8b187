"""Known storms, and how predictions compare with them."""
