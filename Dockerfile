# The environment of requirements.lock, without the code, which is the checkout mounted at /fer (docs/operations.md).
FROM python:3.11-slim-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make procps \
    && rm -rf /var/lib/apt/lists/*

COPY requirements.lock /tmp/requirements.lock
RUN python -m pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock \
    && printf '#!/bin/sh\nexec python -m fer "$@"\n' > /usr/local/bin/fer \
    && chmod +x /usr/local/bin/fer \
    && git config --system --add safe.directory /fer

# Any user id may run it: both engines ask for a name and a home.
ENV PYTHONPATH=/fer \
    USER=fer \
    HOME=/tmp \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true
WORKDIR /fer
CMD ["make", "-o", ".venv/installed", "all"]
