"""What carries out a step: plain PyTorch or DeepSpeed."""
