import type { WebhookConfig } from '../config/config.ts';
import type { Outstanding, WebhookRow } from '../store/notices.ts';

/** What is to be done for a webhook now. */
export type Due =
  | { readonly kind: 'nothing' }
  /** Send a message that was begun. */
  | { readonly kind: 'again'; readonly message: string }
  /** Put what waits into a message, and send it. */
  | { readonly kind: 'new' };

/**
 * Whether a webhook gets a message now: one at a time, by one process, after what happened was gathered for a while, and
 * not too soon after the last.
 *
 * @param hurry the process ends: what waits is told without gathering more
 */
export function whatIsDue(
  webhook: Pick<WebhookConfig, 'groupForMs' | 'minIntervalMs'>,
  row: Pick<WebhookRow, 'claimedUntil' | 'nextTryAt' | 'lastSentAt'>,
  { message, waitingSince }: Outstanding,
  now: Date,
  hurry: boolean,
): Due {
  const later = (instant: Date | null, ms = 0) => instant !== null && instant.getTime() + ms > now.getTime();
  if (later(row.claimedUntil) || later(row.nextTryAt)) return { kind: 'nothing' };
  if (message !== null) return { kind: 'again', message };
  if (waitingSince === null) return { kind: 'nothing' };
  const gathering = later(waitingSince, webhook.groupForMs) || later(row.lastSentAt, webhook.minIntervalMs);
  return gathering && !hurry ? { kind: 'nothing' } : { kind: 'new' };
}

const shortestDelayMs = 5_000;
const longestDelayMs = 600_000;

/** How long to wait before the next attempt, after so many failed ones; `random` from 0 to 1. */
export function retryDelay(failures: number, random: number, askedMs = 0): number {
  const delay = Math.min(longestDelayMs, shortestDelayMs * 2 ** Math.min(failures - 1, 10));
  return Math.max(delay * (0.75 + 0.5 * random), Math.min(askedMs, longestDelayMs));
}
