"""A real OpenSearch and a real Redis as child processes, for the demo, the tests and first steps."""
