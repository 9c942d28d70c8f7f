/** Plays one scenario with real worker processes, and judges what came out. */
import { setTimeout as sleep } from 'node:timers/promises';
import { audit } from '../auditor/rules.ts';
import type { Expectation } from '../auditor/facts.ts';
import type { Ended, Running } from '../e2e/processes.ts';
import { prefix, startArena, until } from '../faults/arena.ts';
import type { Arena, Ground } from '../faults/arena.ts';
import { lastWindows } from '../faults/windows.ts';
import { historyLines } from '../support/history-lines.ts';
import { filesOf, troubleMs } from './scenario.ts';
import type { Action, Scenario } from './scenario.ts';

export interface Outcome {
  readonly scenario: Scenario;
  /** What is wrong, in words; empty when all is well. */
  readonly violations: readonly string[];
  /** What was done to the world, by kind, as often as it took effect. */
  readonly faults: Readonly<Record<string, number>>;
  readonly runs: number;
  readonly files: number;
  readonly bytes: number;
  readonly tookMs: number;
  /** What the processes printed; of failed scenarios. */
  readonly said: string;
}

/** Generous: much goes on at once, and whoever takes over from the dead waits ten seconds. */
const endMs = 180_000;

export async function play(scenario: Scenario, ground: Ground): Promise<Outcome> {
  const begun = performance.now();
  const violations: string[] = [];
  const tally: Record<string, number> = {};
  const count = (kind: string, by = 1) => {
    if (by > 0) tally[kind] = (tally[kind] ?? 0) + by;
  };
  const arena = await startArena({
    ground,
    sink: scenario.sink,
    databaseParameters: 'query_timeout=2000',
    files: (definition, from, job) => filesOf(scenario, definition, from, job),
    simulator: { seed: scenario.seed, exportDuration: scenario.exportMs * 60 },
  });
  let [runs, files, bytes] = [0, 0, 0];
  try {
    const stage = await setUp(scenario, arena);
    const company = new Company(arena, stage.config, scenario.workers, violations, count);
    const backfills = stage.backfills.map((args) => arena.start(stage.config, ...args));
    await until('a worker was running', () => company.isWorking, endMs);
    await playActions(scenario, arena, company, stage, violations, count);
    await mend(arena, company);
    for (const backfill of backfills) await endOf(backfill);
    await conclude(arena, stage, violations);
    await company.dismiss();
    await sweepUp(arena, stage);
    const expected = stage.expected.map((each) => ({
      ...each,
      outcomes: ['done', 'cancelled'],
      expiring: scenario.actions.some(({ kind }) => kind === 'expiry'),
    }));
    const facts = await arena.facts(expected);
    violations.push(...audit(facts), ...model(stage, facts.runs));
    runs = facts.runs.length;
    files = facts.objects.length;
    bytes = facts.objects.reduce((sum, { size }) => sum + size, 0);
  } catch (error) {
    violations.push(`driver: ${error instanceof Error ? error.message : String(error)}`);
  }
  for (const { rule, fired } of arena.sim.faults.list()) count(`upstream ${rule.kind}`, fired);
  for (const [border, proxy] of Object.entries(arena.proxies))
    for (const [kind, n] of Object.entries(proxy.harm)) count(`${border} ${kind}`, n);
  const said = violations.length > 0 ? `${arena.said()}\n${await historyLines(arena)}` : '';
  await arena.stop();
  return { scenario, violations, faults: tally, runs, files, bytes, tookMs: performance.now() - begun, said };
}

/** How a process ended. Rejects when it has not for three minutes: nothing of ours may hang. */
async function endOf(process: Running): Promise<Ended> {
  const limit = new AbortController();
  const late = sleep(endMs, undefined, { signal: limit.signal }).then(
    () => {
      throw new Error(`processes: ${process.pid} ${process.command} does not end`);
    },
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([process.ended, late]);
  } finally {
    limit.abort();
  }
}

interface Stage {
  readonly config: string;
  readonly expected: Expectation[];
  /** Arguments of the backfills. */
  readonly backfills: string[][];
  /** What operators did to runs, by id: the last command that was accepted, and whether another's fate is unknown. */
  readonly orders: Map<number, { command: 'cancel' | 'retry'; sure: boolean }>;
}

async function setUp(scenario: Scenario, arena: Arena): Promise<Stage> {
  const expected: Expectation[] = [];
  const backfills: string[][] = [];
  const definitions: Record<string, Record<string, unknown>> = {};
  for (const plan of scenario.plans) {
    const place = scenario.sink === 'folder' ? '' : prefix;
    const { windows, expectation } = lastWindows(plan.name, plan.windowMs, plan.windows, place);
    const { from, to } = expectation;
    expected.push({ ...expectation, delete: plan.delete });
    const { length, lag } = windows;
    definitions[plan.name] = {
      delete: plan.delete,
      ...(plan.split ? { fileSplitSize: '1024' } : {}),
      ...(plan.how === 'schedule' ? { windows } : { windows: { length, lag }, schedule: undefined }),
    };
    if (plan.how === 'backfill')
      backfills.push(['backfill', plan.name, '--from', from.toISOString(), '--to', to.toISOString()]);
  }
  return { config: await arena.configure(definitions), expected, backfills, orders: new Map() };
}

/** The workers, each in its place: who leaves is followed by another. */
class Company {
  readonly #arena: Arena;
  readonly #config: string;
  readonly #places: (Running | undefined)[];
  readonly #violations: string[];
  readonly #count: (kind: string) => void;

  constructor(
    arena: Arena,
    config: string,
    size: number,
    violations: string[],
    count: (kind: string) => void,
  ) {
    this.#arena = arena;
    this.#config = config;
    this.#violations = violations;
    this.#count = count;
    this.#places = Array.from({ length: size }, () => this.#hire());
  }

  #hire(): Running {
    return this.#arena.start(this.#config, 'worker');
  }

  get isWorking(): boolean {
    return this.#places.some((worker) => worker?.said().includes('worker is running'));
  }

  async harm(action: Extract<Action, { kind: 'process' }>): Promise<void> {
    const worker = this.#places[action.worker];
    if (!worker) return;
    this.#places[action.worker] = undefined;
    const signal = ({ kill: 'SIGKILL', term: 'SIGTERM', stop: 'SIGSTOP' } as const)[action.harm];
    this.#count(signal);
    worker.signal(signal);
    if (action.harm === 'term') this.#expectEnd(await endOf(worker), worker);
    await sleep(action.forMs);
    if (action.harm === 'stop') worker.signal('SIGCONT');
    this.#places[action.worker] = action.harm === 'stop' ? worker : this.#hire();
  }

  #expectEnd({ code }: { code: number | null }, worker: Running): void {
    // Before it listens for signals, one ends it as it ends any process.
    const early = code === null && !worker.said().includes('worker is running');
    if (code !== 0 && !early)
      this.#violations.push(`processes: worker ${worker.pid} ended with ${code ?? 'a signal'}`);
  }

  /** Whoever has ended by itself, such as one that could not reach Postgres when it started, is followed by another. */
  async fill(): Promise<void> {
    for (const [place, worker] of this.#places.entries()) {
      const ended = worker && (await Promise.race([worker.ended, sleep(0, undefined)]));
      if (!worker || ended) this.#places[place] = this.#hire();
    }
  }

  async dismiss(): Promise<void> {
    for (const worker of this.#places) worker?.signal('SIGTERM');
    for (const worker of this.#places) if (worker) this.#expectEnd(await endOf(worker), worker);
  }
}

async function playActions(
  scenario: Scenario,
  arena: Arena,
  company: Company,
  stage: Stage,
  violations: string[],
  count: (kind: string, by?: number) => void,
): Promise<void> {
  const begun = performance.now();
  const under: Promise<void>[] = [];
  for (const action of scenario.actions) {
    await sleep(Math.max(0, action.atMs - (performance.now() - begun)));
    under.push(
      act(action, scenario, arena, company, stage, count).catch((error: unknown) => {
        violations.push(`driver: ${error instanceof Error ? error.message : String(error)}`);
      }),
    );
  }
  await sleep(Math.max(0, Math.min(troubleMs, lastOf(scenario)) - (performance.now() - begun)));
  await Promise.all(under);
}

const lastOf = ({ actions }: Scenario) => actions.at(-1)?.atMs ?? 0;

async function act(
  action: Action,
  scenario: Scenario,
  arena: Arena,
  company: Company,
  stage: Stage,
  count: (kind: string, by?: number) => void,
): Promise<void> {
  switch (action.kind) {
    case 'upstream-fault':
      arena.sim.faults.add(action.fault);
      return;
    case 'network':
      return harmNetwork(action, scenario, arena);
    case 's3': {
      let left = action.requests;
      arena.s3.intervene = ({ operation }) => {
        if (left <= 0) return undefined;
        left -= 1;
        count(`s3 ${action.harm}`);
        if (action.harm === 'lose-answer') return { loseAnswer: true };
        if (action.harm === 'break')
          return operation === 'GetObject' ? { breakAfter: 10 } : { loseAnswer: true };
        const [status, code] =
          action.harm === 'slow-down' ? [503, 'SlowDown'] : ([500, 'InternalError'] as const);
        return {
          answer: { status, body: `<?xml version="1.0"?><Error><Code>${code}</Code></Error>` },
        };
      };
      return;
    }
    case 'process':
      return company.harm(action);
    case 'operator':
      return order(action, arena, stage, count);
    case 'expiry':
      count('expiry');
      arena.sim.clock.advance(31 * 86_400_000);
  }
}

async function harmNetwork(
  { border, harm, forMs, atMs }: Extract<Action, { kind: 'network' }>,
  scenario: Scenario,
  arena: Arena,
): Promise<void> {
  const proxy = arena.proxies[border];
  switch (harm) {
    case 'rst':
    case 'fin':
      proxy.cut(harm);
      return;
    case 'freeze':
      proxy.freeze();
      await sleep(forMs);
      // What was held up on its way to the upstream must not arrive when nobody reckons with it any more.
      if (border === 'api') proxy.cut('rst');
      else proxy.thaw();
      return;
    case 'blackhole':
    case 'refuse':
      proxy.set({ accept: harm });
      proxy.cut('rst');
      await sleep(forMs);
      proxy.set({ accept: 'forward' });
      if (harm === 'blackhole') proxy.cut('rst');
      return;
    case 'slow':
      proxy.set({ delayMs: 30, bytesPerSecond: 1_500_000 });
      await sleep(forMs);
      proxy.set({ delayMs: 0, bytesPerSecond: undefined });
      return;
    case 'mischief': {
      const withinBytes = border === 's3' || border === 'origin' ? 3_000_000 : 60_000;
      proxy.setMischief({ seed: `${scenario.seed}/${atMs}`, share: 0.4, withinBytes, stallMs: 900 });
      await sleep(forMs);
      proxy.setMischief(undefined);
    }
  }
}

/** An operator's command on one of the runs that it fits now. */
async function order(
  { command, pick }: Extract<Action, { kind: 'operator' }>,
  arena: Arena,
  stage: Stage,
  count: (kind: string) => void,
): Promise<void> {
  const states = command === 'cancel' ? `not in ('done', 'cancelled')` : `in ('failed', 'cancelled')`;
  const fitting = await arena.sql<{ id: number }>(
    `select id::int from udm_sync.runs where state ${states} order by id`,
  );
  const id = fitting[Math.floor(pick * fitting.length)]?.id;
  if (id === undefined) return;
  const { code } = await endOf(arena.start(stage.config, command, String(id)));
  count(`operator ${command}`);
  // Postgres may have been cut off in the middle of it: then nobody knows whether it took effect.
  if (code === 0) stage.orders.set(id, { command, sure: true });
  else if (code !== 2) stage.orders.set(id, { command, sure: false });
}

/** Ends every trouble. */
async function mend(arena: Arena, company: Company): Promise<void> {
  arena.s3.intervene = () => undefined;
  for (const proxy of Object.values(arena.proxies)) {
    proxy.heal();
    // What hung must not hang for as long as a socket may be silent.
    proxy.cut('rst');
  }
  await company.fill();
}

const final = `('done', 'cancelled', 'failed')`;

/** Lets the work end: what failed is retried as an operator would, backfills are repeated until they are through. */
async function conclude(arena: Arena, stage: Stage, violations: string[]): Promise<void> {
  for (const args of stage.backfills) {
    // A backfill asks for every window of its range: those that have been cancelled by now are exported after all.
    const asked = await arena.sql<{ id: number }>('select id::int from udm_sync.runs where definition = $1', [
      args[1],
    ]);
    for (const { id } of asked) {
      const order = stage.orders.get(id);
      if (order) order.sure = false;
    }
    const { code } = await endOf(arena.start(stage.config, ...args, '--timeout', '2m'));
    if (code !== 0 && code !== 3)
      violations.push(`processes: ${args.join(' ')} ended with ${code ?? 'a signal'}`);
  }
  const windows = stage.expected.reduce(
    (sum, { from, to, lengthMs }) => sum + (to.getTime() - from.getTime()) / lengthMs,
    0,
  );
  for (let round = 0; round < 4; round += 1) {
    await until(
      'every run had ended',
      async () => {
        const [row] = await arena.sql<{ ended: number; left: number }>(
          `select count(*) filter (where state in ${final})::int as ended,
             count(*) filter (where state not in ${final})::int as left from udm_sync.runs`,
        );
        return row !== undefined && row.left === 0 && row.ended >= windows;
      },
      endMs,
    ).catch(async (error: unknown) => {
      const open = await arena.sql<{ id: number; state: string; reason: string | null }>(
        `select id::int, state, reason from udm_sync.runs where state not in ${final}`,
      );
      throw new Error(`${String(error)}; open: ${JSON.stringify(open)}`);
    });
    const failed = await arena.sql<{ id: number }>(
      `select id::int from udm_sync.runs where state = 'failed' order by id`,
    );
    if (failed.length === 0) return;
    for (const { id } of failed) {
      const { code } = await endOf(arena.start(stage.config, 'retry', String(id)));
      if (code !== 0) violations.push(`operator: retry ${id} ended with ${code ?? 'a signal'}`);
    }
  }
}

/** What a worker does each minute, and when it starts: aborts uploads that nobody will continue. */
async function sweepUp(arena: Arena, stage: Stage): Promise<void> {
  const left = await arena.sql('select 1 from udm_sync.uploads');
  if (left.length > 0) await endOf(arena.start(stage.config, 'run'));
  // A run that is sealed has swept its folder; what writers of a cancelled one leave, the daily sweep finds.
  const cancelled = await arena.sql(`select 1 from udm_sync.runs where state = 'cancelled'`);
  if (cancelled.length === 0) return;
  // Whatever is left was begun before the runs ended, seconds ago.
  const { code, stderr } = await endOf(arena.start(stage.config, 'sweep', '--older-than', '1s'));
  if (code !== 0) throw new Error(`the sweep ended with ${code ?? 'a signal'}: ${stderr}`);
}

/** What must come out: every window is done, but for those that an operator has cancelled. */
function model(
  { orders }: Stage,
  runs: readonly { readonly id: number; readonly state: string }[],
): string[] {
  return runs.flatMap(({ id, state }) => {
    const ordered = orders.get(id);
    if (state === 'cancelled' && ordered === undefined)
      return [`model: run ${id} is cancelled, and nobody asked for that`];
    if (state === 'done' && ordered?.command === 'cancel' && ordered.sure)
      return [`model: run ${id} is done, but was cancelled`];
    return [];
  });
}
