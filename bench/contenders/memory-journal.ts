import type { SentPart } from '../../src/sinks/sink.ts';
import type { Journal, UploadRecord } from '../../src/transfer/journal.ts';

/** A journal that is lost with the process: the transfer without Postgres. */
export function createMemoryJournal(): Journal {
  let record: UploadRecord | undefined;
  let parts: SentPart[] = [];
  return {
    load: () => Promise.resolve(record && { ...record, parts }),
    begun(begun) {
      record = begun;
      return Promise.resolve();
    },
    sent(part) {
      parts.push(part);
      return Promise.resolve();
    },
    forget() {
      record = undefined;
      parts = [];
      return Promise.resolve();
    },
  };
}
