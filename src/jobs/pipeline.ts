import { EventEmitter } from 'node:events';
import { randomBytes } from 'node:crypto';
import { hostname, totalmem } from 'node:os';
import type { Config } from '../config/config.ts';
import type { Logger } from '../log.ts';
import { Queue } from '../queue/queue.ts';
import type { Sink } from '../sinks/sink.ts';
import { databaseError, openDatabase } from '../store/database.ts';
import { Bandwidth } from '../transfer/bandwidth.ts';
import { intoLanes, usualMemory } from '../transfer/memory.ts';
import type { Lanes } from '../transfer/memory.ts';
import { Pace } from '../transfer/pace.ts';
import type { UdmClient } from '../udm/types.ts';
import type { Pipeline, PipelineEvents, SinkBinding } from './context.ts';
import { memoryOfTenant } from './shares.ts';
import { gone, openSink, openUpstream } from './outside.ts';

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
  const { bandwidthBytes: bytesPerSecond } = config.worker;
  const database = await openDatabase(url, config.database.poolSize, logger);
  const queue = await Queue.open({ url, logger, supervise: working }).catch(async (error: unknown) => {
    await database.close();
    throw databaseError(url, error);
  });
  const clients = new Map<string, UdmClient>();
  const sinks = new Map<string, Sink>();
  const memories = new Map<string, Lanes>();
  const paces = new Map<string, Pace>();
  const total = config.worker.memoryBytes ?? usualMemory(availableMemory());
  const events: PipelineEvents = new EventEmitter();
  return {
    config,
    db: database.db,
    queue,
    logger,
    draining,
    events,
    bandwidth: bytesPerSecond === undefined ? undefined : new Bandwidth(bytesPerSecond),
    who: `${hostname()}/${process.pid}/${randomBytes(3).toString('hex')}`,
    memory(tenant) {
      const known = memories.get(tenant);
      if (known) return known;
      // Parts that never change: memory that a tenant could borrow, a stalled one could keep.
      const lanes = intoLanes(memoryOfTenant(config, total));
      memories.set(tenant, lanes);
      return lanes;
    },
    pace(tenant) {
      const pace = paces.get(tenant) ?? new Pace();
      paces.set(tenant, pace);
      return pace;
    },
    upstream(name) {
      const known = clients.get(name);
      if (known) return known;
      const client = openUpstream(config, name, logger, (call) => {
        events.emit('event', { kind: 'upstream-call', tenant: name, call });
      });
      clients.set(name, client);
      return client;
    },
    sink(name): SinkBinding {
      const settings = config.sinks[name];
      if (!settings) throw gone('sink', name);
      const sink =
        sinks.get(name) ??
        openSink(name, settings, {
          log: logger,
          onCall: (call) => events.emit('event', { kind: 'sink-call', sink: name, call }),
        });
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

/** Bytes of the machine, or of the container if that has a limit. */
function availableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
