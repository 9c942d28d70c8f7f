import { z } from 'zod';

/** What `--json` prints: docs/cli.md promises it, so nothing may be missing, and nothing new goes unnoticed. */

const instant = z.iso.datetime();
const window = z.strictObject({ from: instant, to: instant });

export const run = z.strictObject({
  run: z.number().int(),
  definition: z.string(),
  tenant: z.string(),
  sink: z.string(),
  window,
  origin: z.enum(['schedule', 'backfill', 'adopt']),
  entry: z.string().nullable(),
  state: z.enum([
    'planned',
    'creating',
    'exporting',
    'cancelling',
    'collecting',
    'transferring',
    'stored',
    'done',
    'failed',
    'cancelled',
  ]),
  attempt: z.number().int(),
  reason: z.string().nullable(),
  manifestKey: z.string().nullable(),
  nextStepAt: instant.nullable(),
  createdAt: instant,
  updatedAt: instant,
  finishedAt: instant.nullable(),
  prunedAt: instant.nullable(),
});

export const runs = z.array(run);

export const work = z.strictObject({
  exitCode: z.number().int(),
  done: z.number().int(),
  failed: z.number().int(),
  cancelled: z.number().int(),
  left: z.number().int(),
  runs,
});

export const backfillPlan = z.strictObject({
  missing: z.array(window),
  retry: z.array(z.number().int()),
  underWay: z.array(z.number().int()),
  done: z.array(z.number().int()),
});

export const status = z.strictObject({
  now: instant,
  verdict: z.enum(['lost', 'at-risk', 'under-way', 'safe', 'idle']),
  definitions: z.array(
    z.strictObject({
      definition: z.string(),
      configured: z.boolean(),
      done: z.number().int(),
      unfinished: z.number().int(),
      failed: z.number().int(),
      cancelled: z.number().int(),
      missing: z.number().int(),
      doneUntil: instant.nullable(),
      lastDoneAt: instant.nullable(),
      nextTickAt: instant.nullable(),
      adopts: z
        .strictObject({
          title: z.string(),
          lastLookAt: instant.nullable(),
          matched: z.number().int(),
          inProgress: z.number().int(),
          reason: z.string().nullable(),
        })
        .nullable(),
    }),
  ),
  files: z.strictObject({
    waiting: z.number().int(),
    waitingBytes: z.number().int(),
    dead: z.number().int(),
    lost: z.number().int(),
    soonestExpiry: instant.nullable(),
  }),
  atRisk: z.strictObject({
    critical: z.number().int(),
    warning: z.number().int(),
    soonestExpiry: instant.nullable(),
  }),
  failed: runs,
  struggling: runs,
});

export const verify = z.strictObject({
  ok: z.boolean(),
  deep: z.boolean(),
  totals: z.strictObject({
    runs: z.number().int(),
    files: z.number().int(),
    bytes: z.number().int(),
    proof: z.strictObject({
      size: z.number().int(),
      checksum: z.number().int(),
      read: z.number().int(),
    }),
    problems: z.strictObject({
      missing: z.number().int(),
      different: z.number().int(),
      manifest: z.number().int(),
      unchecked: z.number().int(),
    }),
    skipped: z.number().int(),
  }),
  runs: z.array(
    z.strictObject({
      run: z.number().int(),
      definition: z.string(),
      window,
      sink: z.string(),
      manifestKey: z.string().nullable(),
      pruned: z.boolean(),
      files: z.array(
        z.strictObject({
          key: z.string(),
          size: z.number().int(),
          proof: z.enum(['size', 'checksum', 'read']).nullable(),
        }),
      ),
      problems: z.array(
        z.strictObject({
          kind: z.enum(['missing', 'different', 'manifest', 'unchecked']),
          key: z.string().nullable(),
          detail: z.string(),
        }),
      ),
    }),
  ),
});

const held = z.strictObject({ uploads: z.number().int(), bytes: z.number().int() });

export const sweep = held.extend({
  dryRun: z.boolean(),
  olderThanSeconds: z.number(),
  sinks: z.array(
    z.strictObject({
      sink: z.string(),
      uri: z.string(),
      settled: held.nullable(),
      leaked: held.nullable(),
      error: z.string().nullable(),
    }),
  ),
});

export const prune = z.strictObject({
  dryRun: z.boolean(),
  before: instant,
  runs: z.number().int(),
  files: z.number().int(),
  historyLines: z.number().int(),
  held: z.number().int(),
});

export const runHistory = run.extend({
  upstream: z
    .strictObject({
      jobId: z.string().nullable(),
      historyId: z.string().nullable(),
      status: z.string().nullable(),
      progress: z.number().nullable(),
    })
    .nullable(),
  files: z.array(
    z.strictObject({
      name: z.string(),
      key: z.string(),
      state: z.enum(['waiting', 'transferring', 'verified', 'deleted', 'dead', 'lost']),
      size: z.number().int().nullable(),
      crc32: z
        .string()
        .regex(/^[0-9a-f]{8}$/)
        .nullable(),
      proof: z.enum(['size', 'checksum', 'read']).nullable(),
      attempts: z.number().int(),
      reason: z.string().nullable(),
      expiresAt: instant,
      verifiedAt: instant.nullable(),
      deletedAt: instant.nullable(),
    }),
  ),
  history: z.array(
    z.strictObject({
      at: instant,
      subject: z.enum(['run', 'export', 'file']),
      file: z.string().nullable(),
      from: z.string().nullable(),
      to: z.string(),
      who: z.string(),
      reason: z.string().nullable(),
    }),
  ),
});

const totals = z.strictObject({
  windows: z.strictObject({
    done: z.number().int(),
    'under-way': z.number().int(),
    failed: z.number().int(),
    cancelled: z.number().int(),
    'not-planned': z.number().int(),
  }),
  files: z.strictObject({
    deleted: z.number().int(),
    verified: z.number().int(),
    waiting: z.number().int(),
    dead: z.number().int(),
    lost: z.number().int(),
    setAside: z.number().int(),
  }),
  bytes: z.number().int(),
  proofs: z.strictObject({ size: z.number().int(), checksum: z.number().int(), read: z.number().int() }),
});

export const report = z.strictObject({
  version: z.literal(1),
  generatedAt: instant,
  from: instant,
  to: instant,
  definition: z.string().nullable(),
  complete: z.boolean(),
  totals,
  definitions: z.array(z.strictObject({ definition: z.string(), complete: z.boolean(), totals })),
  windows: z.array(
    z.strictObject({
      definition: z.string(),
      window,
      outcome: z.enum(['done', 'under-way', 'failed', 'cancelled', 'not-planned']),
      windows: z.number().int(),
      run: z.number().int().nullable(),
      tenant: z.string().nullable(),
      sink: z.string().nullable(),
      sinkUri: z.string().nullable(),
      origin: run.shape.origin.nullable(),
      entry: z.string().nullable(),
      state: run.shape.state.nullable(),
      attempt: z.number().int().nullable(),
      reason: z.string().nullable(),
      manifestKey: z.string().nullable(),
      createdAt: instant.nullable(),
      finishedAt: instant.nullable(),
      files: z.array(
        z.strictObject({
          name: z.string(),
          key: z.string(),
          state: z.enum(['waiting', 'transferring', 'verified', 'deleted', 'dead', 'lost']),
          open: z.boolean(),
          size: z.number().int().nullable(),
          announcedSize: z.number().int().nullable(),
          crc32: z
            .string()
            .regex(/^[0-9a-f]{8}$/)
            .nullable(),
          etag: z.string().nullable(),
          proof: z.enum(['size', 'checksum', 'read']).nullable(),
          attempt: z.number().int(),
          tries: z.number().int(),
          reason: z.string().nullable(),
          foundAt: instant,
          verifiedAt: instant.nullable(),
          deletedAt: instant.nullable(),
          expiresAt: instant,
        }),
      ),
    }),
  ),
});

export const doctor = z.strictObject({
  ok: z.boolean(),
  findings: z.array(
    z.strictObject({
      check: z.string(),
      ok: z.boolean(),
      code: z.string().nullable().optional(),
      detail: z.string(),
    }),
  ),
});

/** Reads the one JSON document that stdout is. */
export function read<T>(shape: z.ZodType<T>, stdout: string): T {
  return shape.parse(JSON.parse(stdout));
}
