"""Scores of judged clips, their baselines and intervals."""
