import { randomUUID } from 'node:crypto';
import type { Config, WebhookConfig } from '../config/config.ts';
import { reached } from '../crash-points.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { regularly } from '../regularly.ts';
import { databaseNow, lockFor, transact } from '../store/database.ts';
import type { Database, Transaction } from '../store/database.ts';
import {
  claimMessage,
  formMessage,
  messageBegan,
  messageOf,
  outstandingOf,
  pruneNotices,
  settleMessage,
  webhookNamed,
} from '../store/notices.ts';
import type { Sent, WebhookRow } from '../store/notices.ts';
import { collectGaps, collectHistory } from './collect.ts';
import { deliver } from './deliver.ts';
import type { Delivery } from './deliver.ts';
import { retryDelay, whatIsDue } from './due.ts';
import { mostFiles, mostGroups, renderMessage } from './message.ts';

/** What the notifier needs; a pipeline has all of it. */
export interface NotifierDeps {
  readonly config: Config;
  readonly db: Database;
  readonly logger: Logger;
  /** This process, by a name of its own. */
  readonly who: string;
}

/** Tells the webhooks until it is stopped. */
export interface Notifier {
  /** Ends it after what is under way. With `tellAll`, tells first what waits: no process may come soon. */
  stop(options?: { readonly tellAll?: boolean }): Promise<void>;
}

const lookEveryMs = 5_000;
const gapsEveryMs = 60_000;
/** After the deadline of a request, until another process may take it that its sender is dead. */
const claimSlackMs = 20_000;
/** A message that the receiver refuses for what it says is tried so often. */
const refusedAttempts = 5;

/**
 * Begins to tell the webhooks of the config what happens. What is to be told is derived from history, noted in
 * Postgres, and sent from there: a process that dies loses nothing, and of several, one sends.
 */
export function startNotifier(deps: NotifierDeps, everyMs = lookEveryMs): Notifier {
  const tellers = Object.values(deps.config.notifications).map((webhook) => {
    let gapsAt = 0;
    const turn = async (hurry = false) => {
      try {
        const gaps = performance.now() >= gapsAt;
        if (gaps) gapsAt = performance.now() + Math.max(everyMs, gapsEveryMs);
        await tell(deps, webhook, { gaps, hurry });
      } catch (error) {
        const fields = { webhook: webhook.name, reason: describeError(error) };
        deps.logger.error(fields, 'telling a webhook failed; the next look tries again');
      }
    };
    return { turn, repetition: regularly(everyMs, turn) };
  });
  return {
    async stop({ tellAll = false } = {}) {
      await Promise.all(
        tellers.map(async ({ turn, repetition }) => {
          await repetition.stop();
          if (tellAll) await turn(true);
        }),
      );
    },
  };
}

/** Notes what is new for a webhook, and sends a message if one is due. */
export async function tell(
  deps: NotifierDeps,
  webhook: WebhookConfig,
  { gaps = true, hurry = false }: { readonly gaps?: boolean; readonly hurry?: boolean } = {},
): Promise<void> {
  const { db } = deps;
  const message = await transact(db, async (tx) => {
    await lockFor(tx, `webhook:${webhook.name}`);
    const row = await webhookNamed(tx, webhook.name);
    await collectHistory(tx, webhook, row);
    if (gaps) await collectGaps(tx, webhook, Object.values(deps.config.definitions), row);
    if (gaps) await pruneNotices(tx);
    const claimed = await claimDue(tx, deps, webhook, row, hurry);
    if (claimed !== undefined) reached('before:claim-message');
    return claimed;
  });
  if (message === undefined) return;
  reached('after:claim-message');
  const told = await messageOf(db, webhook.name, message, { groups: mostGroups, files: mostFiles });
  const body = renderMessage(webhook, { id: message, ...told });
  reached('before:send-message');
  const delivery = await deliver(webhook.url, body, { id: message, timeoutMs: webhook.timeoutMs });
  reached('after:send-message');
  await settle(deps, webhook, message, delivery);
}

/** Takes the sending of the message that is due, if one is. */
async function claimDue(
  tx: Transaction,
  { who }: NotifierDeps,
  webhook: WebhookConfig,
  row: WebhookRow,
  hurry: boolean,
): Promise<string | undefined> {
  const due = whatIsDue(webhook, row, await outstandingOf(tx, webhook.name), await databaseNow(tx), hurry);
  if (due.kind === 'nothing') return undefined;
  const message = due.kind === 'again' ? due.message : randomUUID();
  if (due.kind === 'new') await formMessage(tx, webhook.name, message);
  const forMs = webhook.timeoutMs + claimSlackMs;
  await claimMessage(tx, webhook.name, message, { who, forMs });
  return message;
}

/** Notes how it went, and says so in the log. */
async function settle(
  { db, logger, who }: NotifierDeps,
  webhook: WebhookConfig,
  message: string,
  delivery: Delivery,
): Promise<void> {
  const { name } = webhook;
  const sent = await transact(db, async (tx): Promise<Sent> => {
    await lockFor(tx, `webhook:${name}`);
    const row = await webhookNamed(tx, name);
    const { attempts } = await outstandingOf(tx, name);
    const age = (await databaseNow(tx)).getTime() - (await messageBegan(tx, name, message)).getTime();
    const outcome = judge(delivery, { attempts, failures: row.failures, age, for: webhook.giveUpAfterMs });
    await settleMessage(tx, name, message, who, outcome);
    reached('before:commit-message');
    return outcome;
  });
  reached('after:commit-message');
  const fields = { webhook: name, message, status: delivery.status };
  if (sent.kind === 'sent') logger.info(fields, 'webhook told');
  else if (sent.kind === 'later')
    logger.warn(
      { ...fields, reason: sent.reason, retryInMs: Math.round(sent.inMs) },
      'a webhook could not be told; it is tried again',
    );
  else
    logger.error({ ...fields, reason: sent.reason }, 'a webhook could not be told; its message is given up');
}

function judge(
  delivery: Delivery,
  so: { readonly attempts: number; readonly failures: number; readonly age: number; readonly for: number },
): Sent {
  if (delivery.ok) return { kind: 'sent' };
  const reason = delivery.said;
  const over = so.age >= so.for || (delivery.refused && so.attempts >= refusedAttempts);
  if (over) return { kind: 'given-up', reason };
  return { kind: 'later', reason, inMs: retryDelay(so.failures + 1, Math.random(), delivery.retryAfterMs) };
}
