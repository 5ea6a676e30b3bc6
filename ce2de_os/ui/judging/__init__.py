"""Judge results: records, where they are kept, the formats of other tools, and what is judged."""
