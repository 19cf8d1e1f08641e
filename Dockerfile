# glide batch in a container, alone or as a node of a Ray cluster (docs/batch.md).
#   docker build --target cpu -t glide:cpu .
#   docker build --target cuda -t glide:cuda .      needs NVIDIA's container toolkit on the machine that runs it

FROM python:3.12-slim AS base
# KubeRay asks a container with wget whether it is well.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/glide
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY glide_core ./glide_core
ENV RAY_USAGE_STATS_ENABLED=0 GLIDE_MODELS=/models

FROM base AS cpu
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch \
    && pip install --no-cache-dir ".[ray]" "ray[default]" s3fs gcsfs
RUN useradd --create-home glide
USER glide
WORKDIR /home/glide

# PyPI's torch for Linux brings its own CUDA libraries; the machine has the driver.
FROM base AS cuda
RUN pip install --no-cache-dir torch && pip install --no-cache-dir ".[ray]" "ray[default]" s3fs gcsfs
RUN useradd --create-home glide
USER glide
WORKDIR /home/glide
