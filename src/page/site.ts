import type { PageConfig } from '../config/config.ts';
import type { Pipeline } from '../jobs/context.ts';
import type { Database } from '../store/database.ts';
import type { Asset } from './assets.ts';
import type { Attempts } from './attempts.ts';
import type { Html } from './html.ts';
import type { Frame } from './layout.ts';
import { notice } from './layout.ts';
import type { Meter } from './meter.ts';
import type { ChartKeeper, Overview } from './read-overview.ts';
import type { Sessions } from './session.ts';
import type { Shared } from './shared.ts';

/** What answering takes. */
export interface Site {
  readonly pipeline: Pipeline;
  /** Connections of the page's own. */
  readonly db: Database;
  readonly settings: PageConfig;
  readonly assets: Readonly<Record<string, Asset>>;
  readonly meter: Meter;
  readonly charts: ChartKeeper;
  /** The overview, read once for all who look at the same moment. */
  readonly overviews: Shared<Overview>;
  /** Absent: nobody may act. */
  readonly sessions: Sessions | undefined;
  readonly attempts: Attempts;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export function page(body: Html, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: 'text/html; charset=utf-8', body: body.text, headers };
}

/** Text alone, for whoever is no visitor. */
export function plain(status: number, text: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n`, headers };
}

/** Leads to another page of ours, with GET. */
export function seeOther(location: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { ...plain(303, location), headers: { ...headers, location } };
}

export function notFound(frame: Frame, what: string): Answer {
  return page(notice(frame, 'Not found', what), 404);
}

export function badRequest(frame: Frame, what: string): Answer {
  return page(notice(frame, 'That cannot be shown', what), 400);
}
