import type { PipelineEvent, PipelineEvents } from '../jobs/context.ts';
import type { Meter } from './meter.ts';

/** Feeds the meter with what this process transfers; returns how to stop. */
export function followTransfers(events: PipelineEvents, meter: Meter): () => void {
  const listen = (event: PipelineEvent) => {
    if (event.kind === 'bytes') meter.note(event.fileId, event.bytes, performance.now());
  };
  events.on('event', listen);
  return () => void events.off('event', listen);
}
