import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { serveApi, type World } from './api.ts';
import { createClock, type SimClock } from './clock.ts';
import { contentChunks, digestContent, type ContentKey, type FileDigest } from './content.ts';
import { CONTROL_PREFIX, serveControl } from './control.ts';
import { Faults } from './faults.ts';
import { readJobRequest } from './job-request.ts';
import { resolveSettings, type SimulatorOptions, type TenantCredentials } from './options.ts';
import { serveOrigin } from './origin.ts';
import { createPresigner } from './presign.ts';
import { RequestLog, type RequestRecord } from './records.ts';
import { Shaper } from './shapes.ts';
import { describeState, type SimulatorState } from './state.ts';
import { Tenant, type LooseFile } from './tenant.ts';
import { Tokens } from './tokens.ts';

export type { SimClock } from './clock.ts';
export type { FileDigest } from './content.ts';
export type { AddedFault, FaultKind, FaultRule } from './faults.ts';
export { simulatedCredentials } from './options.ts';
export type { FileSpec, JobView, JobWindow, SimulatorOptions, TenantCredentials } from './options.ts';
export type { RequestRecord } from './records.ts';
export type { FileState, JobState, SimulatorState } from './state.ts';

/** Which content of which file: the newest of the first tenant, unless told otherwise. */
export interface FileChoice {
  readonly tenant?: string;
  readonly generation?: number;
}

/** How a run that `runJob` makes comes about and ends. */
export interface RunOptions {
  /** Simulated time. */
  readonly at?: Date;
  /** How it ends, half-way; it completes unless told otherwise. */
  readonly fails?: 'failed' | 'cancelled';
  readonly reason?: string;
}

/** A running upstream. */
export interface Simulator extends AsyncDisposable {
  /** What a client is configured with; `/auth/v3` and `/udm/v10` lie below it. */
  readonly baseUrl: string;
  /** Where pre-signed URLs point: another host:port. */
  readonly originUrl: string;
  readonly tenants: readonly TenantCredentials[];
  readonly clock: SimClock;
  readonly faults: Faults;
  /** Every request to both listeners, oldest first. */
  readonly requests: readonly RequestRecord[];
  state(): SimulatorState;
  /**
   * Makes a job as people do in the vendor's user interface, outside of the request log; the body is that of
   * POST /v10/export/jobs. Answers its id, or what is wrong with the body.
   */
  addJob(body: unknown, tenant?: string): string | { readonly problem: string };
  /**
   * Makes a job run (again), as its schedule would, at a moment that may lie in the past; now unless told otherwise.
   * Answers the id of the history entry; undefined when there is no such job.
   */
  runJob(job: string, options?: RunOptions): string | undefined;
  /** Puts a file there without a job. */
  addFile(file: LooseFile, tenant?: string): void;
  /** Digests of a file, deleted or not, computed by streaming; undefined for a name never seen. */
  fileDigest(name: string, choice?: FileChoice): Promise<FileDigest | undefined>;
  /** The true bytes [start, end) of a file, deleted or not. Throws for a name never seen. */
  fileContent(name: string, start?: number, end?: number, choice?: FileChoice): Iterable<Uint8Array>;
  /** Ends every connection at once. */
  close(): Promise<void>;
}

/** Room for a hundred names of a thousand characters in one URL. */
const MAX_HEADER_BYTES = 2 * 1024 * 1024;

/** Starts the two listeners on 127.0.0.1. Rejects when a port is taken. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const settings = resolveSettings(options);
  const clock = createClock(Number(options.startAt ?? Date.now()), options.speed ?? 1);
  const log = new RequestLog(options.logFile);
  const tenants = settings.tenants.map(
    (credentials) => new Tenant(credentials, settings, clock, (fact) => log.note(fact)),
  );
  const world: World = {
    settings,
    clock,
    faults: new Faults(),
    log,
    tenants,
    tokens: new Tokens(clock, settings.tokenLifetime),
    shaper: new Shaper(settings),
    presigner: createPresigner(settings.seed),
  };

  const origin = await listen(options.originPort ?? 0, (req, res) => serveOrigin(world, req, res));
  const api = await listen(options.port ?? 0, (req, res) =>
    req.url?.startsWith(CONTROL_PREFIX)
      ? serveControl(sim, req, res)
      : serveApi(world, options.originAddress ?? origin.url, req, res),
  ).catch(async (error: unknown) => {
    await origin.close();
    throw error;
  });

  const keyOf = (name: string, choice: FileChoice = {}): ContentKey | undefined => {
    const tenant = tenants.find((t) => choice.tenant === undefined || t.credentials.name === choice.tenant);
    const { generation } = choice;
    const files = tenant?.files.filter((f) => f.name === name) ?? [];
    // An entry holds every generation after the one of the entry before it.
    const file = generation === undefined ? files.at(-1) : files.find((f) => f.generation >= generation);
    return tenant && file && tenant.contentKey({ ...file, generation: generation ?? file.generation });
  };

  const tenantNamed = (name: string | undefined): Tenant => {
    const tenant = tenants.find((t) => name === undefined || t.credentials.name === name);
    if (!tenant) throw new Error(`The simulator has no tenant ${name ?? ''}`);
    return tenant;
  };

  const close = async () => {
    await Promise.all([api.close(), origin.close()]);
    world.log.close();
  };

  const sim: Simulator = {
    baseUrl: api.url,
    originUrl: origin.url,
    tenants: settings.tenants,
    clock,
    faults: world.faults,
    requests: world.log.records,
    state: () => describeState(tenants, clock.now()),
    addJob(body, tenantName) {
      const request = readJobRequest(body);
      if (typeof request === 'string') return { problem: request };
      return tenantNamed(tenantName).createJob(request, undefined).id;
    },
    runJob(id, { at, fails, reason = 'Internal export error' } = {}) {
      const tenant = tenants.find((each) => each.liveJob(id) !== undefined);
      const job = tenant?.liveJob(id);
      if (!tenant || !job) return undefined;
      const kind = fails === 'cancelled' ? 'job-cancelled' : 'job-fails';
      const fate = fails && ({ kind, atProgress: 50, reason, word: '' } as const);
      return tenant.runJob(job, at?.getTime() ?? clock.now(), fate).id;
    },
    addFile(file, tenantName) {
      tenantNamed(tenantName).addFile(file);
    },
    async fileDigest(name, choice) {
      for (const tenant of tenants) tenant.settle();
      const key = keyOf(name, choice);
      return key && digestContent(key);
    },
    fileContent(name, start, end, choice) {
      for (const tenant of tenants) tenant.settle();
      const key = keyOf(name, choice);
      if (!key) throw new Error(`The simulator never had a file ${name}`);
      return contentChunks(key, start, end);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  return sim;
}

interface Listener {
  readonly url: string;
  close(): Promise<void>;
}

async function listen(
  port: number,
  serve: (req: IncomingMessage, res: ServerResponse) => Promise<void>,
): Promise<Listener> {
  const server: Server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (req, res) => {
    serve(req, res).catch((error: unknown) => {
      // A client that went away in the middle is not worth a word; anything else is a defect here.
      if (!req.socket.destroyed) console.error('simulator:', error);
      res.destroy();
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
