"""The text around a question and its answer (SPEC.md, sections 2 and 6)."""


def prompt_text(instruction: str) -> str:
    """What the policy continues; ends without a space."""
    return f"Question: {instruction}\n\nAnswer:"


def response_text(response: str) -> str:
    """The response as it follows the prompt, with its leading space."""
    return f" {response}"


def full_text(instruction: str, response: str) -> str:
    """Prompt and response as one string: what reward models read."""
    return prompt_text(instruction) + response_text(response)
