"""The sample sets X of worse answers: contrast, llm and adversarial. Import its modules by name."""
