import type { Config, PageConfig } from '../config/config.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Session } from './session.ts';
import { wholeNumberOf } from './arguments.ts';

/** The option of every command that can serve the page. */
export interface PageFlag {
  readonly pagePort?: string;
}

/** Settings of a page that was asked for by `--page-port`; undefined: it was not. */
export function pageByFlag(config: Config, { pagePort }: PageFlag): PageConfig | undefined {
  if (pagePort === undefined) return undefined;
  return { ...config.page, enabled: true, port: wholeNumberOf('--page-port', pagePort, 0, 65_535) };
}

/**
 * Serves the status page beside the work, if there are settings for one. A page that cannot be served stops nobody:
 * the log says why, and the work goes on without.
 */
export async function openPage(
  { pipeline, url, logger }: Session,
  settings: PageConfig | undefined,
): Promise<{ close(): Promise<void> }> {
  if (!settings?.enabled) return { close: () => Promise.resolve() };
  try {
    // Loaded when it is needed: a CronJob needs none.
    const { servePage } = await import('../page/server.ts');
    const page = await servePage({ pipeline, url, settings });
    logger.info({ address: page.address, actions: settings.token !== undefined }, 'status page is served');
    return page;
  } catch (error) {
    const code = error instanceof UdmSyncError ? error.code : undefined;
    logger.error({ code, reason: describeError(error) }, 'there is no status page; the work goes on without');
    return { close: () => Promise.resolve() };
  }
}
