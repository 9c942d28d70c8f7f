import type { Config, WebhookConfig } from '../config/config.ts';
import { nearest } from '../config/did-you-mean.ts';
import { UsageError } from '../errors.ts';
import { sendTest } from '../notify/send-test.ts';
import { exitCodes } from './exit-codes.ts';
import { print, printJson } from './output.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';

/** `udm-sync notify-test [name]`: needs neither Postgres nor an upstream. */
export async function notifyTestCommand(name: string | undefined, options: GlobalOptions): Promise<number> {
  const { config } = await openConfig(options, { to: 2, level: 'error' });
  const results = [];
  for (const webhook of webhooksNamed(config, name)) {
    const { ok, status, said } = await sendTest(webhook);
    results.push({ webhook: webhook.name, ok, status: status ?? null, said });
    if (!options.json) print(`${webhook.name}: ${ok ? 'arrived' : 'did NOT arrive'}, ${said}`);
  }
  if (options.json) printJson(results);
  return results.every((result) => result.ok) ? exitCodes.done : exitCodes.failed;
}

function webhooksNamed(config: Config, name: string | undefined): WebhookConfig[] {
  const all = Object.values(config.notifications);
  if (all.length === 0)
    throw new UsageError('The config has no webhooks: name one under notifications (docs/notifications.md).');
  if (name === undefined) return all;
  const found = all.filter((webhook) => webhook.name === name);
  if (found.length > 0) return found;
  const names = all.map((webhook) => webhook.name);
  const near = nearest(name, names);
  throw new UsageError(
    `There is no webhook "${name}"${near === undefined ? '.' : `; did you mean "${near}"?`} The config has: ${names.join(', ')}.`,
  );
}
