import { randomUUID } from 'node:crypto';
import type { WebhookConfig } from '../config/config.ts';
import { deliver } from './deliver.ts';
import type { Delivery } from './deliver.ts';
import { renderMessage } from './message.ts';

/** Sends a message that only tries the way, once and at once; it looks as those of a failed run do. */
export function sendTest(webhook: WebhookConfig): Promise<Delivery> {
  const id = randomUUID();
  const to = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000);
  const group = {
    kind: 'run-failed',
    definition: 'test',
    tenant: 'test',
    run: 0,
    from: new Date(to.getTime() - 3_600_000),
    to,
    count: 1,
    files: null,
    reason: 'nothing did: this is a test',
    firstAt: to,
    lastAt: to,
  } as const;
  const body = renderMessage(webhook, { id, groups: [group], more: 0, test: true });
  return deliver(webhook.url, body, { id, timeoutMs: webhook.timeoutMs });
}
