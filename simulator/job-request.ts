import { findSource, findType } from './catalog.ts';
import { isObject } from './json.ts';
import type { JobWindow } from './options.ts';

/** A job as the client asked for it, after validation. */
export interface JobRequest {
  readonly source: string;
  readonly type: string;
  readonly title: string;
  readonly description: string | undefined;
  readonly window: JobWindow;
  /** Runs at once, rather than on a cron schedule or at a start date. */
  readonly immediately: boolean;
  /** ms since the epoch, when a start date was given. */
  readonly startDate: number | undefined;
  readonly fileSplitSize: string | undefined;
  readonly suspended: boolean;
  /** The parts of the body that are only echoed. */
  readonly timeFrame: Record<string, unknown>;
  readonly schedulerParam: Record<string, unknown>;
  readonly jobParams: Record<string, unknown>;
}

/** Reads the body of POST and PUT /v10/export/jobs, or says in words what is wrong with it. */
export function readJobRequest(body: unknown): JobRequest | string {
  if (!isObject(body)) return 'Request body must be a JSON object';
  const { source, type, title, description, timeFrame, schedulerParam, jobParams = {} } = body;
  if (typeof source !== 'string' || !findSource(source)) return `Unknown source: ${shown(source)}`;
  if (typeof type !== 'string' || !findType(source, type)) return `Unknown type: ${shown(type)}`;
  if (typeof title !== 'string' || title.trim() === '') return 'title is required';
  if (description !== undefined && typeof description !== 'string') return 'description must be a string';
  if (!isObject(timeFrame)) return 'timeFrame is required';
  const window = readWindow(timeFrame);
  if (typeof window === 'string') return window;
  if (!isObject(schedulerParam)) return 'schedulerParam is required';
  if (!isObject(jobParams)) return 'jobParams must be an object';
  const { fileSplitSize, media } = jobParams;
  if (fileSplitSize !== undefined && !isNumericString(fileSplitSize))
    return 'fileSplitSize must be a numeric string';
  if (media !== undefined && !(Array.isArray(media) && media.every((m) => typeof m === 'string'))) {
    return 'media must be an array of strings';
  }
  if (schedulerParam['runs'] !== undefined && !isNumericString(schedulerParam['runs'])) {
    return 'runs must be a numeric string';
  }
  const startDate =
    schedulerParam['startDate'] === undefined ? undefined : readDate(schedulerParam['startDate']);
  if (Number.isNaN(startDate)) return `Unparsable startDate: ${shown(schedulerParam['startDate'])}`;
  const immediately = isTrue(schedulerParam['immediately']);
  if (!immediately && startDate === undefined && typeof schedulerParam['cron'] !== 'string') {
    return 'schedulerParam needs immediately, cron or startDate';
  }
  return {
    source,
    type,
    title,
    description,
    window,
    immediately,
    startDate,
    fileSplitSize,
    suspended: isTrue(body['suspended']),
    timeFrame,
    schedulerParam,
    jobParams,
  };
}

function readWindow(timeFrame: Record<string, unknown>): JobWindow | string {
  if (isTrue(timeFrame['all'])) return { from: undefined, to: undefined };
  const from = readDate(timeFrame['dateFrom']);
  if (Number.isNaN(from)) return `Unparsable dateFrom: ${shown(timeFrame['dateFrom'])}`;
  const to = readDate(timeFrame['dateTo']);
  if (Number.isNaN(to)) return `Unparsable dateTo: ${shown(timeFrame['dateTo'])}`;
  if (from > to) return 'dateFrom is after dateTo';
  return { from: new Date(from), to: new Date(to) };
}

/** ISO 8601, or epoch ms in digits; NaN for anything else. */
function readDate(value: unknown): number {
  if (typeof value !== 'string') return NaN;
  if (/^\d{12,14}$/.test(value)) return Number(value);
  return /^\d{4}-\d{2}-\d{2}/.test(value) ? Date.parse(value) : NaN;
}

const isNumericString = (value: unknown): value is string => typeof value === 'string' && /^\d+$/.test(value);
const isTrue = (value: unknown) => value === true || value === 'true';
const shown = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value));
