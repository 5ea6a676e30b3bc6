"""Worker applications with something wrong with them, for ``celery -A``."""
