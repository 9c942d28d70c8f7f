import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { PgBoss, fromDrizzle } from 'pg-boss';
import type { Job } from 'pg-boss';
import { z } from 'zod';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { withTimeLimit } from '../store/database.ts';
import type { Executor, Transaction } from '../store/database.ts';
import { queueSchema } from '../store/migrate.ts';

const stepPayload = z.object({ runId: z.number().int() });
const transferPayload = z.object({
  runId: z.number().int(),
  tenant: z.string(),
  fileIds: z.array(z.number().int()).min(1),
  /** Workers in a row that died with this file, before it was queued anew. */
  deaths: z.number().int().optional(),
});

/** The next short piece of work on one run. */
export type StepPayload = z.infer<typeof stepPayload>;
/** A large file, or a batch of small ones of one run, copied by one worker. */
export type TransferPayload = z.infer<typeof transferPayload>;

/** The queue of large files, one each, and that of small files in batches: neither waits for the other. */
export type TransferQueue = 'transfer' | 'transfer-small';

/** A queue job this worker holds, as long as `signal` is not aborted. */
export interface Claim<Payload> {
  readonly queue: 'step' | TransferQueue;
  readonly id: string;
  /** With the id, names this very attempt: another worker that takes over has a higher one. */
  readonly retryCount: number;
  readonly payload: Payload;
  /** Aborted when another worker took over, or the process must stop now. */
  readonly signal: AbortSignal;
}

/** Another worker has taken this job over; whatever this one was about to commit is rolled back. */
export class LostClaimError extends UdmSyncError {
  constructor() {
    super('ERR_LOST_CLAIM', 'Another worker has taken over this work.', {
      hint: 'Nothing to do: the other worker goes on from the last committed state.',
    });
  }
}

export interface Handlers {
  step(claim: Claim<StepPayload>): Promise<void>;
  transfer(claim: Claim<TransferPayload>): Promise<void>;
}

/** A run, and the tenant whose places its work takes. */
export interface RunOfTenant {
  readonly id: number;
  readonly tenant: string;
}

/** How many jobs this process works on at once: for each tenant, and for how many tenants. */
export interface Places {
  readonly steps: number;
  readonly transfers: number;
  readonly tenants: number;
}

export interface QueueOptions {
  readonly url: string;
  readonly logger: Logger;
  /** False for commands that only send or inspect. */
  readonly supervise: boolean;
}

const queueNames = ['step', 'transfer', 'transfer-small'] as const;

/** A worker silent for this long has lost its jobs; pg-boss accepts no less. */
const heartbeatSeconds = 10;
/** How long after its renewal a claim cannot have gone to another worker, in ms. */
export const claimMs = heartbeatSeconds * 1000;
const heartbeatRefreshSeconds = 2;
const secondsBetweenAsks = 0.5;
const mostSecondsBetweenAsks = 5;
const maxJobSeconds = 23 * 60 * 60;
/** A queue job is only a reason to look at the run: being retried uses up nothing of the run's own attempts. */
const retryForEver = 1_000_000;
const tenYears = 10 * 365 * 24 * 60 * 60;

/** What handlers get to hand back their work once their time is up. */
const handBackMs = 5_000;

/** The distributed engine: pg-boss, reduced to what the pipeline needs. */
export class Queue {
  readonly #boss: PgBoss;
  readonly #logger: Logger;
  /** Aborted when the process must stop now. */
  readonly #timeUp = new AbortController();

  private constructor(boss: PgBoss, logger: Logger) {
    this.#boss = boss;
    this.#logger = logger;
  }

  /** Connects to the queue in Postgres and makes sure that both queues exist. The schema must have been migrated. */
  static async open({ url, logger, supervise }: QueueOptions): Promise<Queue> {
    const boss = new PgBoss({
      connectionString: withTimeLimit(url),
      application_name: 'udm-sync queue',
      schema: queueSchema,
      max: 4,
      migrate: false,
      createSchema: false,
      schedule: false,
      supervise,
      superviseIntervalSeconds: 1,
      monitorIntervalSeconds: 1,
      // By default jobs that are completed stay for a day, whatever deleteAfterSeconds says.
      maintenanceIntervalSeconds: 10 * 60,
      queueCacheIntervalSeconds: 1,
      useListenNotify: supervise,
      registerInstance: supervise,
    });
    boss.on('error', (error) => logger.warn({ reason: describeError(error) }, 'queue error'));
    const settings = {
      notify: true,
      heartbeatSeconds,
      expireInSeconds: maxJobSeconds,
      retryLimit: retryForEver,
      // Growing delays are the run's own (settle.ts); here they would only add to the time a takeover takes.
      retryDelay: 1,
      retryBackoff: false,
      retentionSeconds: tenYears,
      deleteAfterSeconds: 60 * 60,
    };
    try {
      await boss.start();
      for (const name of queueNames) {
        await boss.createQueue(name, { ...settings, policy: 'exclusive' });
        // A queue that an earlier version made keeps its settings otherwise.
        await boss.updateQueue(name, settings);
      }
    } catch (error) {
      // What it had begun (timers, connections) would keep the process alive.
      await boss.stop({ graceful: false, close: true }).catch(() => undefined);
      throw error;
    }
    return new Queue(boss, logger);
  }

  /**
   * Starts claiming jobs. Each tenant has places of its own in this process: however long the calls of one are held
   * up, the jobs of the others find theirs free.
   */
  async work(handlers: Handlers, places: Places): Promise<void> {
    const tenants = Math.max(places.tenants, 1);
    // Every place asks for itself: more of them ask less often, so that Postgres is asked as often as ever.
    const seconds = Math.min(secondsBetweenAsks * tenants, mostSecondsBetweenAsks);
    const asking = (perTenant: number) => ({
      pollingIntervalSeconds: seconds,
      notifyPollingIntervalSeconds: seconds,
      // While more is due, whoever has done something asks again at once: a tenant whose steps fail fast takes turns,
      // and turns must be cheap.
      burstWhenReadyExceeds: 1,
      heartbeatRefreshSeconds,
      localConcurrency: perTenant * tenants,
      localGroupConcurrency: perTenant,
    });
    await this.#boss.work<unknown, undefined>('step', asking(places.steps), async ([job]) => {
      if (job) await this.#run(job, () => handlers.step(this.#claim('step', job, stepPayload)));
      return undefined;
    });
    for (const queue of ['transfer', 'transfer-small'] as const)
      await this.#boss.work<unknown, undefined>(queue, asking(places.transfers), async ([job]) => {
        if (job) await this.#run(job, () => handlers.transfer(this.#claim(queue, job, transferPayload)));
        return undefined;
      });
  }

  async #run(job: Job<unknown>, handle: () => Promise<void>): Promise<void> {
    try {
      await handle();
    } catch (error) {
      if (error instanceof LostClaimError) {
        this.#logger.warn(
          { queue: job.name, job: job.id },
          'another worker has taken over; nothing was changed',
        );
        return;
      }
      // pg-boss hands the job out again after a delay; the run's state is as it was.
      this.#logger.error(
        { queue: job.name, job: job.id, err: error },
        'a step failed before it could be settled',
      );
      throw error;
    }
  }

  /**
   * Stops claiming, and waits up to `graceMs` for handlers under way. Those that are not done by then are told to
   * hand back their work, and have a few seconds for it.
   */
  async stop(graceMs: number): Promise<void> {
    // Their heartbeats go on meanwhile. Told by pg-boss, they would find their jobs taken away already.
    const done = Promise.all(queueNames.map((name) => this.#boss.offWork(name)));
    await within(graceMs, done);
    this.#timeUp.abort(new Error('the process stops'));
    await within(handBackMs, done);
    await this.#boss.stop({ graceful: true, timeout: 1000, close: true });
  }

  #claim<Payload>(
    queue: Claim<Payload>['queue'],
    job: Job<unknown>,
    schema: z.ZodType<Payload>,
  ): Claim<Payload> {
    return {
      queue,
      id: job.id,
      retryCount: job.retryCount,
      payload: schema.parse(job.data),
      signal: AbortSignal.any([job.signal, this.#timeUp.signal]),
    };
  }

  /** Queues the next step of a run in the caller's transaction. Does nothing if one is waiting or active. */
  async sendStep(tx: Executor, run: RunOfTenant, afterMs = 0): Promise<void> {
    await this.#boss.send(
      'step',
      { runId: run.id },
      {
        singletonKey: String(run.id),
        group: { id: run.tenant },
        startAfter: afterMs / 1000,
        db: fromDrizzle(tx, sql),
      },
    );
  }

  /** Queues transfers in the caller's transaction; a higher priority is claimed first. */
  async sendTransfer(
    tx: Executor,
    queue: TransferQueue,
    payload: TransferPayload,
    options: { priority: number; afterMs?: number },
  ): Promise<void> {
    await this.#boss.send(queue, payload, {
      // Batches of a run never share a file, so the first one names the batch.
      singletonKey: `${payload.runId}:${payload.fileIds[0] ?? 0}`,
      group: { id: payload.tenant },
      priority: options.priority,
      startAfter: (options.afterMs ?? 0) / 1000,
      db: fromDrizzle(tx, sql),
    });
  }

  /** Makes a run's waiting step due now, or queues one. */
  async hurry(tx: Executor, run: RunOfTenant): Promise<void> {
    const db = fromDrizzle(tx, sql);
    await this.#boss.update('step', undefined, { singletonKey: String(run.id), startAfter: 0, db });
    await this.sendStep(tx, run);
  }

  /**
   * Completes the claimed job in the caller's transaction.
   *
   * @throws LostClaimError when this worker no longer holds it; let it roll the transaction back
   */
  async complete(tx: Transaction, claim: Claim<unknown>): Promise<void> {
    const attempt = { id: claim.id, retryCount: claim.retryCount };
    held(await this.#boss.complete(claim.queue, attempt, null, { db: fromDrizzle(tx, sql) }));
  }

  /**
   * Checks in the caller's transaction that this worker still holds the job, and renews its heartbeat.
   *
   * @throws LostClaimError
   */
  async renew(tx: Transaction, claim: Claim<unknown>): Promise<void> {
    const attempt = { id: claim.id, retryCount: claim.retryCount };
    held(await this.#boss.touch(claim.queue, attempt, { db: fromDrizzle(tx, sql) }));
  }
}

// pg-boss types the answer as empty but documents the count.
const commandAnswer = z.object({ affected: z.number() });

function held(answer: unknown): void {
  if (commandAnswer.parse(answer).affected !== 1) throw new LostClaimError();
}

/** Waits for the promise, but no longer than so many ms. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const stop = new AbortController();
  try {
    await Promise.race([promise, delay(ms, undefined, { signal: stop.signal })]);
  } finally {
    stop.abort();
  }
}
