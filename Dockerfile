# docker build -t rapide . && docker run -p 8000:8000 -p 8001:8001 -p 8002:8002 -v ./models:/models:ro rapide
# tests/integration/test_dockerfile.py runs what is written here.

# Debian's Python is built with profile-guided optimisation, and its slim image is the smallest with glibc wheels.
# The compiler is for the hot path (setup.py); it stays behind.
FROM debian:trixie-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md ./
COPY rapide rapide
COPY server server
COPY proto proto
COPY converters converters
COPY loadtests loadtests
COPY profiles profiles
COPY reports reports
# pip has done its work then, and a server that cannot install anything is a smaller target.
RUN python3 -m venv /opt/rapide \
    && /opt/rapide/bin/python -m pip install --no-cache-dir --disable-pip-version-check . \
    && /opt/rapide/bin/python -m pip uninstall --yes --disable-pip-version-check pip

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --uid 10001 rapide
COPY --from=build /opt/rapide /opt/rapide
# Inside a container, loopback would reach nobody. The grace lets a load balancer notice that we are leaving.
ENV PATH=/opt/rapide/bin:$PATH \
    RAPIDE_MODELS=/models \
    RAPIDE_HOST=0.0.0.0 \
    RAPIDE_GRACE_S=5
USER 10001
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --start-interval=1s \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('RAPIDE_HTTP_PORT', '8000') + '/v2/health/ready', timeout=2)"]
ENTRYPOINT ["rapide"]
CMD ["serve"]
