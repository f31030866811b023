"""The sample sets X of worse answers: contrast, llm and adversarial. Import the modules; this package imports nothing."""
