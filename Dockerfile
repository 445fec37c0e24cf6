# The operator's image. BASE: any image with Python 3.11 or newer and its venv module, of this image's release.
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS build
ARG UV_VERSION=0.13.9
# The system's certificates: a builder that trusts an index or a proxy of its own says so there.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/agentid
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv==${UV_VERSION}
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN /opt/uv/bin/uv sync --frozen --no-dev --extra operator --extra cli --extra traces --no-install-project --no-cache --quiet
# The official client is 75 MB of generated models and calls, each loaded when it is named. agentid names none:
# it takes configuration and leader election from there.
RUN cd /opt/agentid/lib/python3*/site-packages/kubernetes \
    && find client/models client/api aio/client/models aio/client/api -type f ! -name __init__.py -delete
COPY operator operator
RUN /opt/uv/bin/uv sync --frozen --no-dev --extra operator --extra cli --extra traces --no-editable --no-cache --quiet
# Nothing can be written at run time, so bytecode is made here: of what operator and decision point load, with
# the standard library, for which official Python images have none.
RUN PYTHONPYCACHEPREFIX=/opt/agentid/bytecode /opt/agentid/bin/python -c \
    'import agentid.cli.main, agentid.cli.operator, agentid.cli.gate, agentid.process.otlp'

FROM ${BASE}
LABEL org.opencontainers.image.title=agentid \
      org.opencontainers.image.description="Gives an AI agent an identity for one task, for as long as that task runs." \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /opt/agentid /opt/agentid
ENV PATH=/opt/agentid/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPYCACHEPREFIX=/opt/agentid/bytecode
USER 65532:65532
WORKDIR /
ENTRYPOINT ["agentid"]
CMD ["operator"]
