"""The three flows: specialization, classification, tracking."""
