import type { Config, SinkConfig, TenantConfig } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { createSink } from '../sinks/index.ts';
import type { S3SinkDeps } from '../sinks/s3.ts';
import type { Sink } from '../sinks/sink.ts';
import { traceCall } from '../tracing.ts';
import { createUdmClient } from '../udm/client.ts';
import type { CallReport } from '../udm/http.ts';
import type { UdmClient } from '../udm/types.ts';

/** The upstream client of a tenant in the config. `onCall` is told about every attempt of every call. */
export function openUpstream(
  config: Config,
  name: string,
  logger: Logger,
  onCall?: (call: CallReport) => void,
): UdmClient {
  const tenant = tenantNamed(config, name);
  return createUdmClient({
    tenant: name,
    baseUrl: tenant.baseUrl,
    apiKey: tenant.apiKey,
    auth: tenant.auth,
    requestsPerSecond: tenant.limits.requestsPerSecond,
    requestTimeoutMs: tenant.requestTimeoutMs,
    download: {
      allowedHosts: [...tenant.download.allowedHosts],
      allowPrivateAddresses: tenant.download.allowPrivateAddresses,
    },
    logger,
    onCall: (call) => {
      traceCall(call);
      onCall?.(call);
    },
  });
}

/** A tenant of the config; runs outlive config files, so it may be gone. */
export function tenantNamed(config: Config, name: string): TenantConfig {
  const tenant = config.tenants[name];
  if (!tenant) throw gone('tenant', name);
  return tenant;
}

/** The sink that the config describes. Nothing is contacted until it is used. */
export function openSink(name: string, settings: SinkConfig, deps: S3SinkDeps = {}): Sink {
  if (settings.type === 'filesystem') return createSink(name, settings);
  const { accessKeyId, secretAccessKey, sessionToken, partSizeBytes, ...rest } = settings;
  const given = accessKeyId !== undefined && secretAccessKey !== undefined;
  return createSink(
    name,
    {
      ...rest,
      partSize: partSizeBytes,
      ...(given
        ? {
            credentials: {
              accessKeyId,
              secretAccessKey,
              ...(sessionToken === undefined ? {} : { sessionToken }),
            },
          }
        : {}),
    },
    deps,
  );
}

/** The config has lost what a run needs. */
export function gone(kind: 'tenant' | 'sink', name: string): UdmSyncError {
  return new UdmSyncError(
    kind === 'tenant' ? 'ERR_TENANT_GONE' : 'ERR_SINK_GONE',
    `The config has no ${kind} "${name}", but a run needs it.`,
    {
      hint: `Put the ${kind} back under ${kind}s, or cancel the runs that need it (udm-sync runs, udm-sync cancel).`,
    },
  );
}
