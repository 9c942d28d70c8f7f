import { EventEmitter } from 'node:events';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config, SinkConfig } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { Queue } from '../queue/queue.ts';
import { createSink } from '../sinks/index.ts';
import type { Sink } from '../sinks/sink.ts';
import { databaseError, openDatabase } from '../store/database.ts';
import { ByteBudget } from '../transfer/budget.ts';
import { createUdmClient } from '../udm/client.ts';
import type { UdmClient } from '../udm/types.ts';
import type { Pipeline, SinkBinding } from './context.ts';

export interface PipelineOptions {
  readonly config: Config;
  /** Postgres, already migrated. */
  readonly url: string;
  readonly logger: Logger;
  readonly draining: AbortSignal;
  /** Whether this process works on the queue, or only sends to it. */
  readonly working: boolean;
}

export interface OpenPipeline extends Pipeline {
  /** Closes the queue, the upstream clients, the sinks and Postgres. Stop a worker before: work under way is broken off. */
  close(): Promise<void>;
}

/** Builds what the steps use from the config. Upstream clients and sinks are made when first needed. */
export async function openPipeline(options: PipelineOptions): Promise<OpenPipeline> {
  const { config, url, logger, draining, working } = options;
  const database = await openDatabase(url, config.database.poolSize, logger);
  const queue = await Queue.open({ url, logger, supervise: working }).catch(async (error: unknown) => {
    await database.close();
    throw databaseError(url, error);
  });
  const clients = new Map<string, UdmClient>();
  const sinks = new Map<string, Sink>();
  return {
    config,
    db: database.db,
    queue,
    logger,
    draining,
    events: new EventEmitter(),
    budget: new ByteBudget(config.worker.memoryBytes),
    who: `${hostname()}/${process.pid}/${randomBytes(3).toString('hex')}`,
    upstream(name) {
      const known = clients.get(name);
      if (known) return known;
      const client = openUpstream(config, name, logger);
      clients.set(name, client);
      return client;
    },
    sink(name): SinkBinding {
      const settings = config.sinks[name];
      if (!settings) throw gone('sink', name);
      const sink = sinks.get(name) ?? openSink(name, settings);
      sinks.set(name, sink);
      return { sink, verify: settings.verify };
    },
    async close() {
      for (const client of clients.values()) client.close();
      for (const sink of sinks.values()) sink.close();
      // Without it pg-boss' timers would keep the process alive; stopping it twice is allowed.
      await queue.stop(0);
      await database.close();
    },
  };
}

/** The upstream client of a tenant in the config. */
export function openUpstream(config: Config, name: string, logger: Logger): UdmClient {
  const tenant = config.tenants[name];
  if (!tenant) throw gone('tenant', name);
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
  });
}

/** The sink that the config describes. Nothing is contacted until it is used. */
export function openSink(name: string, settings: SinkConfig): Sink {
  if (settings.type === 'filesystem') return createSink(name, settings);
  const { accessKeyId, secretAccessKey, sessionToken, partSizeBytes, ...rest } = settings;
  const given = accessKeyId !== undefined && secretAccessKey !== undefined;
  return createSink(name, {
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
  });
}

function gone(kind: 'tenant' | 'sink', name: string): UdmSyncError {
  return new UdmSyncError(
    kind === 'tenant' ? 'ERR_TENANT_GONE' : 'ERR_SINK_GONE',
    `The config has no ${kind} "${name}", but a run needs it.`,
    {
      hint: `Put the ${kind} back under ${kind}s, or cancel the runs that need it (udm-sync runs, udm-sync cancel).`,
    },
  );
}
