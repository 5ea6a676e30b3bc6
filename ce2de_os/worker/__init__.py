"""The Celery application that embeds: ``celery -A ce2de_os.worker.app worker``."""
