"""An OpenAI-compatible endpoint that puts a trained policy in front of any model."""
