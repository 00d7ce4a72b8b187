"""What an exported graph gives against what PyTorch gives, and whether that is good enough."""
