"""What works on this machine, and what a model or file is."""
