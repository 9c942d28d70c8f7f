import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import { z } from 'zod';
import { noticeKinds, notices, webhooks } from '../../drizzle/schema.ts';
import type { NoticeKind } from '../../drizzle/schema.ts';
import type { Executor, Transaction } from './database.ts';

export type { NoticeKind };
export type WebhookRow = typeof webhooks.$inferSelect;
export type NewNotice = Pick<
  typeof notices.$inferInsert,
  'identity' | 'kind' | 'definition' | 'tenant' | 'reason' | 'happenedAt'
>;

/** What a webhook wants to be told of; empty lists of names mean all. */
export interface NoticeFilter {
  readonly kinds: readonly NoticeKind[];
  readonly tenants: readonly string[];
  readonly definitions: readonly string[];
  /** What is older is not worth telling any more: a webhook may have been away for long. */
  readonly reachBackMs: number;
}

/**
 * How far back history is read again. A line is dated when it is written and seen when its transaction commits; ours
 * are ended by Postgres after a minute at most for each statement (database.ts).
 */
const overlap = sql.raw("interval '5 minutes'");
/** How long what was told is kept. */
const keepFor = sql.raw("interval '30 days'");

/** The row of a webhook; one that is new is told of nothing that was before. */
export async function webhookNamed(tx: Transaction, name: string): Promise<WebhookRow> {
  await tx
    .insert(webhooks)
    .values({ name, since: sql`clock_timestamp()`, scannedUntil: sql`clock_timestamp()` })
    .onConflictDoNothing();
  const [row] = await tx.select().from(webhooks).where(eq(webhooks.name, name));
  if (!row) throw new Error(`the webhook ${name} has no row`);
  return row;
}

/** Notes what history says since the last time, as it was written; what is noted already stays as it is. */
export async function noteHistory(tx: Transaction, webhook: WebhookRow, filter: NoticeFilter): Promise<void> {
  const { name, since } = webhook;
  const among = (column: string, names: readonly string[]) =>
    names.length === 0 ? sql`true` : sql`${sql.raw(column)} = any(${sql.param([...names])}::text[])`;
  // As the partial indexes history_troubles and history_said have them, so that they serve.
  const lines = (where: string, kind: string) => sql`
    select h.id, h.at, h.run_id, h.file_id, h.reason, ${sql.raw(kind)} as kind
    from udm_sync.history h, bounds
    where h.at >= bounds.begin and (${sql.raw(where)})`;
  await tx.execute(sql`
    with bounds as materialized (
      select greatest(${since.toISOString()}::timestamptz, scanned_until - ${overlap},
        now() - ${filter.reachBackMs / 1000} * interval '1 second') as begin
      from udm_sync.webhooks where name = ${name}
    ), lines as (
      ${lines(
        "to_state in ('failed', 'dead', 'lost', 'vanished') or (from_state = 'transferring' and to_state = 'waiting')",
        "case when subject = 'run' and to_state = 'failed' then 'run-failed' when subject = 'file' and to_state in ('dead', 'lost') then 'file-' || to_state end",
      )}
      union all
      ${lines(
        "subject = 'run' and from_state = to_state",
        "case when h.reason like 'warning: %' then 'expiry-warning' when h.reason like 'critical: %' then 'expiry-critical' end",
      )}
    )
    insert into udm_sync.notices
      (webhook, identity, kind, definition, tenant, run_id, window_from, window_to, file, reason, happened_at)
    select ${name}, 'history:' || l.id, l.kind, r.definition, r.tenant, r.id, r.window_from, r.window_to, f.name,
      l.reason, l.at
    from lines l join udm_sync.runs r on r.id = l.run_id left join udm_sync.files f on f.id = l.file_id
    where l.kind = any(${sql.param([...filter.kinds])}::text[])
      and ${among('r.tenant', filter.tenants)} and ${among('r.definition', filter.definitions)}
    order by l.id
    on conflict (webhook, identity) do nothing`);
  await tx
    .update(webhooks)
    .set({ scannedUntil: sql`now()` })
    .where(eq(webhooks.name, name));
}

/** Notes that what a webhook was told of runs is over, where it is; with `tell`, for the webhook to be told so. */
export async function noteRecoveredRuns(tx: Transaction, webhook: string, tell: boolean): Promise<void> {
  await tx.execute(sql`
    with over as (
      update udm_sync.notices n set over_at = clock_timestamp() from udm_sync.runs r
      where n.webhook = ${webhook} and n.over_at is null and n.run_id = r.id and r.state in ('done', 'cancelled')
      returning n.id, n.given_up_at, r.id as run_id, r.definition, r.tenant, r.window_from, r.window_to, r.state,
        coalesce(r.finished_at, clock_timestamp()) as at
    )
    insert into udm_sync.notices
      (webhook, identity, kind, definition, tenant, run_id, window_from, window_to, reason, happened_at, over_at)
    select ${webhook}, 'recovered:' || min(id), 'recovered', definition, tenant, run_id, window_from, window_to,
      'the run is ' || state, at, clock_timestamp()
    from over
    where ${tell}
    group by definition, tenant, run_id, window_from, window_to, state, at
    -- Nobody heard of what was given up.
    having bool_or(given_up_at is null)
    on conflict (webhook, identity) do nothing`);
}

/** Gaps that a webhook was told of, or is to be, and that last. */
export function openGaps(tx: Transaction, webhook: string) {
  return tx
    .select({ id: notices.id, definition: notices.definition, tenant: notices.tenant })
    .from(notices)
    .where(and(eq(notices.webhook, webhook), isNull(notices.overAt), eq(notices.kind, 'gap')));
}

/** Notes that gaps are over. */
export async function closeNotices(tx: Transaction, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  await tx
    .update(notices)
    .set({ overAt: sql`clock_timestamp()` })
    .where(inArray(notices.id, [...ids]));
}

/** Notes what no line of history says; what ends something else is over itself. */
export async function addNotices(
  tx: Transaction,
  webhook: string,
  rows: readonly NewNotice[],
): Promise<void> {
  if (rows.length === 0) return;
  await tx
    .insert(notices)
    .values(
      rows.map((row) => ({
        ...row,
        webhook,
        ...(row.kind === 'recovered' ? { overAt: sql`clock_timestamp()` } : {}),
      })),
    )
    .onConflictDoNothing();
}

const outstanding = z.object({
  /** The message that was begun and has not arrived; null if there is none. */
  message: z.string().nullable(),
  attempts: z.coerce.number(),
  /** When the first of what no message holds yet was noted. */
  waitingSince: z.coerce.date().nullable(),
});
export type Outstanding = z.infer<typeof outstanding>;

/** What a webhook is still to be told. */
export async function outstandingOf(tx: Transaction, webhook: string): Promise<Outstanding> {
  const { rows } = await tx.execute(sql`
    select min(message) as "message", coalesce(max(attempts), 0) as "attempts",
      min(created_at) filter (where message is null) as "waitingSince"
    from udm_sync.notices where webhook = ${webhook} and sent_at is null and given_up_at is null`);
  return outstanding.parse(rows[0]);
}

const unsent = (webhook: string) => sql`webhook = ${webhook} and sent_at is null and given_up_at is null`;

/** Puts everything that waits into one message; from then on that is what it says, however often it is sent. */
export async function formMessage(tx: Transaction, webhook: string, message: string): Promise<void> {
  await tx
    .update(notices)
    .set({ message })
    .where(sql`${unsent(webhook)} and message is null`);
}

/** Takes the sending of a message, for so many ms. */
export async function claimMessage(
  tx: Transaction,
  webhook: string,
  message: string,
  claim: { readonly who: string; readonly forMs: number },
): Promise<void> {
  const until = sql`clock_timestamp() + ${claim.forMs / 1000} * interval '1 second'`;
  await tx.update(webhooks).set({ claim: claim.who, claimedUntil: until }).where(eq(webhooks.name, webhook));
  await tx
    .update(notices)
    .set({ attempts: sql`${notices.attempts} + 1` })
    .where(sql`${unsent(webhook)} and message = ${message}`);
}

const group = z.object({
  kind: z.enum(noticeKinds),
  definition: z.string(),
  tenant: z.string(),
  run: z.coerce.number().nullable(),
  from: z.coerce.date().nullable(),
  to: z.coerce.date().nullable(),
  count: z.coerce.number(),
  files: z.array(z.string()).nullable(),
  reason: z.string().nullable(),
  firstAt: z.coerce.date(),
  lastAt: z.coerce.date(),
});
/** Things of one kind that happened to one run or definition. */
export type NoticeGroup = z.infer<typeof group>;

/** What a message tells, in the order in which it happened: the first groups, and how many there are. */
export async function messageOf(
  db: Executor,
  webhook: string,
  message: string,
  limit: { readonly groups: number; readonly files: number },
): Promise<{ readonly groups: NoticeGroup[]; readonly more: number }> {
  const { rows } = await db.execute(sql`
    select kind, definition, tenant, run_id as "run", window_from as "from", window_to as "to", count(*) as "count",
      (array_agg(file order by id) filter (where file is not null))[1:${sql.raw(String(limit.files))}] as "files",
      (array_agg(reason order by id desc))[1] as "reason",
      min(happened_at) as "firstAt", max(happened_at) as "lastAt", count(*) over () as "groups"
    from udm_sync.notices where webhook = ${webhook} and message = ${message}
    group by kind, definition, tenant, run_id, window_from, window_to
    order by min(id) limit ${limit.groups}`);
  const groups = z.array(group).parse(rows);
  const all = z.coerce.number().parse(rows[0]?.['groups'] ?? 0);
  return { groups, more: all - groups.length };
}

/** How a message went. */
export type Sent =
  | { readonly kind: 'sent' }
  | { readonly kind: 'later'; readonly inMs: number; readonly reason: string }
  | { readonly kind: 'given-up'; readonly reason: string };

/** Notes how the sending of a message went, and gives the claim back. */
export async function settleMessage(
  tx: Transaction,
  webhook: string,
  message: string,
  who: string,
  sent: Sent,
): Promise<void> {
  const ours = and(eq(webhooks.name, webhook), eq(webhooks.claim, who));
  const free = { claim: null, claimedUntil: null };
  if (sent.kind === 'later') {
    const nextTryAt = sql`clock_timestamp() + ${sent.inMs / 1000} * interval '1 second'`;
    const failures = sql`${webhooks.failures} + 1`;
    await tx
      .update(webhooks)
      .set({ ...free, failures, nextTryAt, reason: sent.reason })
      .where(ours);
    return;
  }
  const lastSentAt = sent.kind === 'sent' ? { lastSentAt: sql`clock_timestamp()` } : {};
  const reason = sent.kind === 'sent' ? null : sent.reason;
  await tx
    .update(webhooks)
    .set({ ...free, ...lastSentAt, failures: 0, nextTryAt: null, reason })
    .where(ours);
  await tx
    .update(notices)
    .set(sent.kind === 'sent' ? { sentAt: sql`clock_timestamp()` } : { givenUpAt: sql`clock_timestamp()` })
    .where(sql`${unsent(webhook)} and message = ${message}`);
}

/** When the first of what a message tells was noted. */
export async function messageBegan(tx: Transaction, webhook: string, message: string): Promise<Date> {
  const { rows } = await tx.execute(sql`
    select coalesce(min(created_at), clock_timestamp()) as "at" from udm_sync.notices
    where webhook = ${webhook} and message = ${message}`);
  return z.coerce.date().parse(rows[0]?.['at']);
}

/** Forgets what was noted a month ago. */
export async function pruneNotices(db: Executor): Promise<void> {
  await db.execute(sql`delete from udm_sync.notices where created_at < clock_timestamp() - ${keepFor}`);
}
