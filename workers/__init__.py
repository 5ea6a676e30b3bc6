"""The Celery application in a checkout: ``celery -A workers.app worker``."""
