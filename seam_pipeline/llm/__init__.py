"""The OpenAI-compatible client: row cache, retries, concurrency. Import the modules; this package imports nothing."""
