"""The Celery application that embeds: ``celery -A workers.app worker``."""
