import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext } from 'playwright-core';

const executablePath = '/usr/bin/chromium';

/** Whether there is a browser to test with; says so once where there is none. */
export function chromiumInstalled(): boolean {
  const there = existsSync(executablePath);
  if (!there) console.log(`The status page is not tested in a browser: ${executablePath} is not installed.`);
  return there;
}

export interface Browser extends AsyncDisposable {
  readonly context: BrowserContext;
  /** Addresses of everything that was asked for. */
  readonly requests: readonly string[];
}

/** A Chromium with an empty profile, that asks nobody for anything by itself. */
export async function openChromium(
  options: Parameters<typeof chromium.launchPersistentContext>[1] = {},
): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'udm-sync-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    timezoneId: 'America/New_York',
    locale: 'en-GB',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    ...options,
  });
  const requests: string[] = [];
  context.on('request', (request) => requests.push(request.url()));
  return {
    context,
    requests,
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
