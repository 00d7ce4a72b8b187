"""Trainers of medicane_models: specialization, classification and tracking."""
