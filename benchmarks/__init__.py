"""Questions of speed and skill, a file each; ``python -m benchmarks`` lists them."""
