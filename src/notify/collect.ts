import type { DefinitionConfig, WebhookConfig } from '../config/config.ts';
import { listAdoptions } from '../store/adoptions.ts';
import { databaseNow } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { addNotices, closeNotices, noteHistory, noteRecoveredRuns, openGaps } from '../store/notices.ts';
import type { NewNotice, WebhookRow } from '../store/notices.ts';
import { listSchedules } from '../store/schedules.ts';
import { definitionStatuses } from '../store/status.ts';
import { gapOf } from './gaps.ts';

/** Notes what history says, and which runs that were spoken of are through. */
export async function collectHistory(
  tx: Transaction,
  webhook: WebhookConfig,
  row: WebhookRow,
): Promise<void> {
  const { on: kinds, tenants, definitions, giveUpAfterMs: reachBackMs } = webhook;
  await noteHistory(tx, row, { kinds, tenants, definitions, reachBackMs });
  await noteRecoveredRuns(tx, webhook.name, kinds.includes('recovered'));
}

/** Notes which definitions have become overdue, and which are no longer. */
export async function collectGaps(
  tx: Transaction,
  webhook: WebhookConfig,
  configured: readonly DefinitionConfig[],
  row: WebhookRow,
): Promise<void> {
  if (!webhook.on.includes('gap')) return;
  const now = await databaseNow(tx);
  const [statuses, schedules, adoptions, open] = [
    await definitionStatuses(tx),
    await listSchedules(tx),
    await listAdoptions(tx),
    await openGaps(tx, webhook.name),
  ];
  const named = <T extends { readonly definition: string }>(rows: readonly T[], name: string) =>
    rows.find((each) => each.definition === name);
  const reasons = new Map<string, string>();
  const added: NewNotice[] = [];
  for (const definition of configured.filter((each) => wants(webhook, each))) {
    const { name, tenant } = definition;
    const signs = {
      status: named(statuses, name),
      ticks: named(schedules, name),
      adoption: named(adoptions, name),
      watchedSince: row.since,
    };
    const reason = gapOf(definition, signs, webhook.gapGraceMs, now);
    if (reason === undefined) continue;
    reasons.set(name, reason);
    const identity = `gap:${name}:${now.toISOString()}`;
    if (!named(open, name))
      added.push({ identity, kind: 'gap', definition: name, tenant, reason, happenedAt: now });
  }
  const over = open.filter(({ definition }) => !reasons.has(definition));
  await closeNotices(
    tx,
    over.map(({ id }) => id),
  );
  if (webhook.on.includes('recovered'))
    for (const { id, definition, tenant } of over)
      added.push({
        identity: `recovered:${id}`,
        kind: 'recovered',
        definition,
        tenant,
        reason: 'it is no longer overdue',
        happenedAt: now,
      });
  await addNotices(tx, webhook.name, added);
}

function wants({ tenants, definitions }: WebhookConfig, { tenant, name }: DefinitionConfig): boolean {
  const holds = (names: readonly string[], one: string) => names.length === 0 || names.includes(one);
  return holds(tenants, tenant) && holds(definitions, name);
}
