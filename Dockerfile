# The worker's image: docker build --tag ce2de-worker .
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ce2de_os ce2de_os
COPY index_templates index_templates
RUN pip install --constraint constraints.txt '.[languages,ui]' \
 && rm -rf /app/* \
 && useradd --uid 10001 --create-home worker

USER worker
WORKDIR /home/worker

CMD ["celery", "-A", "ce2de_os.worker.app", "worker", "--concurrency", "1", "--loglevel", "INFO"]
