"""What is measured on an instruction and its candidates: likelihoods, rewards, SEAM and the baselines.

Nothing is imported here: `scoring.seam` and `scoring.items` need no torch, the scorers do.
"""
