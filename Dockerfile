# syntax=docker/dockerfile:1
# The gateway in a slim image: non-root, works on a read-only root with one writable volume for its data.
#
#   docker build -t fairlead .
#   docker run --read-only --tmpfs /tmp -v fairlead:/data -p 4000:4000 fairlead

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv /opt/fairlead \
 && /opt/fairlead/bin/pip install --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY providers providers
COPY gateway gateway
RUN /opt/fairlead/bin/pip install --no-deps --no-build-isolation . \
 && /opt/fairlead/bin/pip uninstall --yes hatchling editables

FROM python:3.13-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 fairlead \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin fairlead \
 && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/fairlead /opt/fairlead
COPY config/fairlead.yaml /etc/fairlead/fairlead.yaml
ENV PATH=/opt/fairlead/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FAIRLEAD_CONFIG=/etc/fairlead/fairlead.yaml \
    FAIRLEAD_DATA_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:4000/readyz', timeout=2)"]
ENTRYPOINT ["fairlead"]
CMD ["serve", "--demo", "--host", "0.0.0.0"]
