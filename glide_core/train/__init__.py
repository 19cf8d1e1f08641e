"""Training and fine-tuning on a user's own pictures."""
