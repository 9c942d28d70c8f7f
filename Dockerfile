# One image for worker, run, backfill and migrate. Build it with scripts/build-image.sh, which also works
# without Docker, or with: docker build -t udm-sync .
#
# Behind a proxy with a certificate of its own, or with a private registry (neither stays in the image):
#   docker build --secret id=ca,src=ca.pem --secret id=npmrc,src=$HOME/.npmrc -t udm-sync .
ARG BASE=node:24-bookworm-slim

FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Without install scripts: none is needed, and the development dependency "node" would put another Node before
# the image's own.
RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=ca --mount=type=secret,id=npmrc \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    NPM_CONFIG_USERCONFIG=/run/secrets/npmrc npm ci --prefer-offline --ignore-scripts --omit=optional --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY drizzle ./drizzle
COPY src ./src
RUN npm run build

FROM ${BASE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The optional dependencies are the embedded Postgres: in a cluster there is a real one.
RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=ca --mount=type=secret,id=npmrc \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    NPM_CONFIG_USERCONFIG=/run/secrets/npmrc \
    npm ci --prefer-offline --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund

FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="udm-sync" \
      org.opencontainers.image.description="Copies Genesys Multicloud CX data exports into S3, verifies them there, and only then deletes them upstream." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production
RUN groupadd --gid 10001 udm-sync \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin udm-sync \
 && install -d -o 10001 -g 10001 /var/lib/udm-sync /var/lib/udm-sync/exports
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY migrations ./migrations
COPY --from=build /app/dist ./dist
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
# The worker's metrics and probes; nothing else listens.
EXPOSE 9464
# Kubernetes has its own probes, and a probe of ours would run beside every one-off command.
HEALTHCHECK NONE
# Node is process 1 and answers signals itself: no shell, no init in between.
# V8's young generation would grow to 128 MiB for objects that live a millisecond (docs/benchmarks.md).
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/dist/src/cli/main.js"]
CMD ["worker"]
