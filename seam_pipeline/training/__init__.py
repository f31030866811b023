"""Training the base model, the policies, the reward models, and RL."""
