"""OpenSearch request bodies as JSON files with named holes; ``ce2de_os.index.templates`` fills them."""
