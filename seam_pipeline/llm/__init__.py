"""The OpenAI-compatible client: row cache, retries, concurrency. Import its modules by name."""
