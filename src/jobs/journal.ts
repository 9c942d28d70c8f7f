import { reached } from '../crash-points.ts';
import { appendHistory } from '../store/history.ts';
import { transact } from '../store/database.ts';
import type { File } from '../store/files.ts';
import { deleteUpload, findUpload, insertPart, insertUpload, partsOf } from '../store/uploads.ts';
import type { Journal } from '../transfer/journal.ts';
import type { Pipeline } from './context.ts';

/**
 * A file's upload in Postgres, so that the next worker goes on where this one stopped.
 *
 * @param fresh whether the file is known to have no upload under way
 */
export function journalOf(pipeline: Pipeline, file: File, sink: string, fresh: boolean): Journal {
  const { db, who } = pipeline;
  let uploadId: number | undefined;
  return {
    async load() {
      if (fresh && uploadId === undefined) return undefined;
      const found = await findUpload(db, file.id);
      if (!found) return undefined;
      uploadId = found.id;
      return { ...found, parts: await partsOf(db, found.id) };
    },
    async begun(record) {
      reached('before:note-upload');
      uploadId = await insertUpload(db, { ...record, fileId: file.id, sink });
      reached('after:note-upload');
    },
    async sent(part) {
      if (uploadId === undefined) throw new Error('a part was sent before its upload began');
      reached('before:note-part');
      await insertPart(db, uploadId, part);
      reached('after:note-part');
    },
    async forget(reason) {
      const forgotten = uploadId;
      if (forgotten === undefined) return;
      uploadId = undefined;
      await transact(db, async (tx) => {
        const known = await deleteUpload(tx, forgotten);
        // A worker that was frozen finds it settled by another, whose story the history tells.
        if (known && reason !== 'complete') {
          const { runId, id: fileId, state } = file;
          const line = { runId, fileId, subject: 'file', from: state, to: state, who, reason } as const;
          await appendHistory(tx, [line]);
        }
        reached('before:forget-upload');
      });
      reached('after:forget-upload');
    },
  };
}
