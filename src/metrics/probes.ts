import type { Config } from '../config/config.ts';
import { describeError } from '../errors.ts';
import type { Pipeline } from '../jobs/context.ts';
import { pendingMigrations } from '../store/migrate.ts';
import { cached } from './cached.ts';
import type { Cached } from './cached.ts';
import type { Pulse } from './pulse.ts';

/** What a probe answers: 200 if `ok`, else 503, with the rest as JSON. */
export interface ProbeAnswer {
  readonly ok: boolean;
  /** What is wrong, in words. */
  readonly reasons: readonly string[];
}

export interface Probes {
  /** Whether the loop turns. Nothing outside is asked: a restart would not mend it. */
  health(): ProbeAnswer;
  /** Whether the worker has what it needs of its own: Postgres, its schema, the sinks. Not the upstream. */
  ready(): Promise<ProbeAnswer>;
}

/** The loop turns each 10 s; a turn may take as long as a connection to Postgres that is not answered. */
const oldestBeatMs = 60_000;
/** Nothing is ever written there; asking for it tells whether the sink answers. */
const probeKey = '_udm-sync/ready';

const times = {
  schema: { freshMs: 10_000, patienceMs: 4_000 },
  sink: { freshMs: 30_000, patienceMs: 4_000 },
};

export function createProbes(
  { config, draining, sink }: Pick<Pipeline, 'draining' | 'sink'> & { readonly config: Config },
  url: string,
  pulse: Pulse,
): Probes {
  const schema = cached(() => pendingMigrations(url), times.schema);
  const sinks = Object.keys(config.sinks).map((name) => ({
    name,
    look: cached(() => sink(name).sink.stat(probeKey), times.sink),
  }));
  return {
    health() {
      const age = pulse.age();
      const ok = age <= oldestBeatMs;
      return { ok, reasons: ok ? [] : [`the loop last turned ${Math.round(age / 1000)} s ago`] };
    },
    async ready() {
      const [pending, ...found] = await Promise.all([schema(), ...sinks.map(({ look }) => look())]);
      const reasons = [...problemsOfSchema(pending)];
      for (const [at, { name }] of sinks.entries()) {
        const error = found[at]?.error;
        if (error !== undefined) reasons.push(`sink ${name}: ${describeError(error)}`);
      }
      if (draining.aborted) reasons.push('the worker is stopping');
      return { ok: reasons.length === 0, reasons };
    },
  };
}

function problemsOfSchema({ value, error }: Cached<number>): string[] {
  if (error !== undefined) return [`postgres: ${describeError(error)}`];
  if (value === 0) return [];
  return [`postgres: the database lacks ${value ?? 'some'} migrations of this version; run udm-sync migrate`];
}
