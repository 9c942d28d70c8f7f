import cliProgress from 'cli-progress';
import type { PipelineEvent, PipelineEvents } from '../jobs/context.ts';
import type { Run } from '../store/runs.ts';
import { printable } from '../printable.ts';
import { counted, humanBytes, print, utc } from './output.ts';

/** Shows what the pipeline does to a person; `stop` before printing anything else. */
export interface ProgressView {
  stop(): void;
}

/** One line for each thing that happens: for output that is no terminal. */
export function showLines(events: PipelineEvents): ProgressView {
  const listen = (event: PipelineEvent) => {
    const line = describe(event);
    if (line !== undefined) print(printable(line));
  };
  events.on('event', listen);
  return { stop: () => void events.off('event', listen) };
}

/** The same lines, and below them a progress bar for each file in transfer. */
export function showBars(events: PipelineEvents): ProgressView {
  const multi = new cliProgress.MultiBar(
    {
      format: ' {bar} {percentage}% {size} {name}',
      hideCursor: true,
      clearOnComplete: true,
      linewrap: false,
      barsize: 24,
    },
    cliProgress.Presets.shades_classic,
  );
  const bars = new Map<number, cliProgress.SingleBar>();
  const listen = (event: PipelineEvent) => {
    const line = describe(event);
    if (line !== undefined) multi.log(`${printable(line)}\n`);
    if (event.kind === 'bytes') {
      const { fileId, bytes, total = bytes } = event;
      const name = printable(event.name);
      const bar = bars.get(fileId) ?? multi.create(total, 0, { name, size: '' });
      bars.set(fileId, bar);
      bar.setTotal(Math.max(total, 1));
      bar.update(bytes, { name, size: humanBytes(bytes) });
    } else if (event.kind === 'file') {
      const bar = bars.get(event.fileId);
      bars.delete(event.fileId);
      if (bar) multi.remove(bar);
    }
  };
  events.on('event', listen);
  return {
    stop() {
      events.off('event', listen);
      multi.stop();
    },
  };
}

function describe(event: PipelineEvent): string | undefined {
  switch (event.kind) {
    case 'tick':
      return event.planned > 0
        ? `${event.definition}: schedule fired, ${counted(event.planned, 'window')} to export`
        : undefined;
    case 'run':
      return `${label(event.run)}: ${event.to}${event.reason === undefined ? '' : ` (${event.reason})`}`;
    case 'progress':
      return event.progress === undefined
        ? undefined
        : `${label(event.run)}: export at ${Math.round(event.progress)} %`;
    case 'file':
      return event.state === 'verified'
        ? `${label(event.run)}: ${event.name} stored and verified, ${humanBytes(event.bytes)}`
        : `${label(event.run)}: ${event.name} ${event.state}`;
    case 'expiry':
      return `${label(event.run)}: ${event.level.toUpperCase()}: ${counted(event.files, 'file')} not safe yet, deleted upstream from ${utc(event.soonest)}`;
    case 'deleted':
      return `${label(event.run)}: deleted ${counted(event.files, 'verified file')} upstream`;
    default:
      return undefined;
  }
}

function label(run: Run): string {
  return `${run.definition} ${utc(run.windowFrom).slice(0, 16)}Z`;
}
