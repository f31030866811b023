"""Models by path or hub id: prompt text, adapter stacks, reward heads, generation.

Nothing is imported here, so that the package costs nothing until a module is used:
`models.stack` loads, `models.generate` writes answers, `models.prompt` and `models.content` need no torch.
"""
