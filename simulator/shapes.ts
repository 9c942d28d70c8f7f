import { type Answer, emptyAnswer, jsonAnswer } from './answer.ts';
import { SOURCES } from './catalog.ts';
import { isObject } from './json.ts';
import type { Settings, Shape } from './options.ts';
import { isLive, type Job, type Run, type StoredFile, type Tenant } from './tenant.ts';

const ID_FIELDS = new Set(['id', 'jobId', 'historyId']);
const DATE_FIELDS = new Set(['createdDate', 'uploadDate', 'lastModified']);

/** Which page of a list is wanted, and what the list may be empty like. */
export interface Paging {
  readonly from: number;
  readonly size: number;
}

/** Dresses answers up the way the scenario wants them: envelope or not, numbers as strings, ids as numbers. */
export class Shaper {
  readonly #settings: Settings;
  #turn = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** One object. */
  object(status: number, value: Record<string, unknown>): Answer {
    const shape = this.#next();
    const body = this.#dress(value, shape);
    return jsonAnswer(status, shape === 'envelope' ? { status: { code: 0 }, data: body } : body);
  }

  /** One page of a list; 204 when the page is empty, unless the operation always answers 200. */
  page(items: readonly Record<string, unknown>[], paging: Paging, always200 = false): Answer {
    const shape = this.#next();
    const page = items.slice(paging.from, paging.from + paging.size);
    if (page.length === 0 && !always200) return emptyAnswer(204);
    const dressed = page.map((item) => this.#dress(item, shape));
    const data = this.#values({ count: items.length, size: page.length, items: dressed });
    if (shape === 'array') return jsonAnswer(200, dressed);
    return jsonAnswer(200, shape === 'bare' ? data : { status: { code: 0 }, data });
  }

  /** A short list of words: plain, as objects with a name, or as a map, and wrapped or not. */
  words(words: readonly { readonly name: string; readonly description?: string }[]): Answer {
    const shape = this.#next();
    if (words.length === 0) return emptyAnswer(204);
    if (shape === 'array')
      return jsonAnswer(
        200,
        words.map((w) => w.name),
      );
    if (shape === 'bare')
      return jsonAnswer(200, Object.fromEntries(words.map((w) => [w.name, w.description ?? w.name])));
    return jsonAnswer(200, {
      status: { code: 0 },
      data: { count: words.length, size: words.length, items: words },
    });
  }

  /** Progress in one of the three ways nobody can tell apart beforehand. */
  progress(percent: number): Answer {
    const value = this.#settings.stringValues ? String(percent) : percent;
    switch (this.#next()) {
      case 'bare':
        return jsonAnswer(200, { progress: value });
      case 'array':
        return jsonAnswer(200, value);
      default:
        return jsonAnswer(200, { status: { code: 0 }, data: { progress: value } });
    }
  }

  /** Pre-signed URLs in the order asked for: a list of URLs, a map from names, or a list of objects. */
  urls(urls: readonly { readonly name: string; readonly url: string }[]): Answer {
    switch (this.#next()) {
      case 'bare':
        return jsonAnswer(200, Object.fromEntries(urls.map(({ name, url }) => [name, url])));
      case 'array':
        return jsonAnswer(
          200,
          urls.map(({ url }) => url),
        );
      default: {
        const items = urls.map(({ name, url }) => ({ fileName: name, url }));
        return jsonAnswer(200, {
          status: { code: 0 },
          data: { count: items.length, size: items.length, items },
        });
      }
    }
  }

  #next(): Exclude<Shape, 'mixed'> {
    const { shape } = this.#settings;
    if (shape !== 'mixed') return shape;
    const shapes = ['envelope', 'bare', 'array'] as const;
    return shapes[this.#turn++ % 3] ?? 'envelope';
  }

  #dress(item: Record<string, unknown>, shape: Shape): Record<string, unknown> {
    const dated = Object.entries(item).map(([name, value]) => {
      if (DATE_FIELDS.has(name) && typeof value === 'number') {
        return [
          name,
          shape === 'envelope' || this.#settings.stringValues ? new Date(value).toISOString() : value,
        ];
      }
      return [name, value];
    });
    return this.#values(Object.fromEntries(dated) as Record<string, unknown>);
  }

  #values(item: Record<string, unknown>): Record<string, unknown> {
    return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, this.#value(name, value)]));
  }

  #value(name: string, value: unknown): unknown {
    const { stringValues, numericIds } = this.#settings;
    if (numericIds && ID_FIELDS.has(name) && typeof value === 'string') return Number(value);
    if (stringValues && !ID_FIELDS.has(name) && (typeof value === 'number' || typeof value === 'boolean'))
      return String(value);
    if (Array.isArray(value))
      return value.map((each: unknown) => (isObject(each) ? this.#values(each) : each));
    return isObject(value) ? this.#values(value) : value;
  }
}

/** The status word a run shows. */
export function statusOf(settings: Settings, job: Job, run: Run): string {
  const words = settings.statusWords;
  const shown = {
    running: words.inProgress,
    suspended: words.suspended,
    unknown: run.fate?.word ?? job.fate?.word ?? '',
    completed: words.completed,
    failed: words.failed,
    cancelled: words.cancelled,
  };
  return shown[run.state];
}

export function jobItem(settings: Settings, job: Job): Record<string, unknown> {
  const { request } = job;
  const last = job.runs.findLast((run) => run.deletedAt === undefined);
  const waiting = job.suspended ? settings.statusWords.suspended : settings.statusWords.scheduled;
  return {
    id: job.id,
    title: request.title,
    ...(request.description === undefined ? {} : { description: request.description }),
    source: request.source,
    type: request.type,
    status: last ? statusOf(settings, job, last) : waiting,
    suspended: job.suspended,
    createdDate: job.createdAt,
    timeFrame: request.timeFrame,
    schedulerParam: request.schedulerParam,
    jobParams: request.jobParams,
  };
}

/** A history entry; file name and size are empty while it runs, and those of the first file afterwards. */
export function historyItem(settings: Settings, tenant: Tenant, job: Job, run: Run): Record<string, unknown> {
  const file = isLive(run) ? undefined : tenant.files.find((f) => f.historyId === run.id);
  return {
    id: run.id,
    jobId: job.id,
    title: job.request.title,
    source: job.request.source,
    type: job.request.type,
    status: statusOf(settings, job, run),
    progress: tenant.progress(run),
    fileName: file?.name ?? '',
    ...(isLive(run) || file?.announcedSize === undefined ? {} : { fileSize: file.announcedSize }),
    createdDate: run.createdAt,
    ...(run.reason === undefined ? {} : { reason: run.reason }),
  };
}

/** A file's metadata; in mixed scenarios every other file spells its fields differently. */
export function fileItem(settings: Settings, file: StoredFile, index: number): Record<string, unknown> {
  const common = {
    ...(file.historyId === undefined ? {} : { historyId: file.historyId }),
    ...(file.jobId === undefined ? {} : { jobId: file.jobId }),
    jobTitle: file.jobTitle,
    source: file.source,
    type: file.type,
  };
  const size = file.announcedSize;
  return settings.shape === 'mixed' && index % 2 === 1
    ? {
        fileName: file.name,
        ...(size === undefined ? {} : { fileSize: size }),
        uploadDate: file.createdAt,
        ...common,
      }
    : { name: file.name, ...(size === undefined ? {} : { size }), createdDate: file.createdAt, ...common };
}

/** The words of job-statuses: the same states, spelled in yet another way than in the history. */
export function statusWordList(settings: Settings): { name: string; description: string }[] {
  return Object.values(settings.statusWords).map((word: string) => ({
    name: word.toUpperCase().replace(/[\s-]+/g, '_'),
    description: word,
  }));
}

export const sourceWords = () => SOURCES.map(({ name, description }) => ({ name, description }));
