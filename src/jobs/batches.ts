/** How a run's files are divided into transfers. Sizes in bytes. */

export interface BatchFile {
  readonly id: number;
  /** As the upstream announced it; undefined counts as large. */
  readonly size: number | undefined;
}

export interface Batch {
  readonly fileIds: number[];
  /** Whether it goes into the queue of small files. */
  readonly small: boolean;
}

/** As many as the upstream gives pre-signed URLs for in one list. */
const maxFiles = 100;
const maxBytes = 64 * 1024 * 1024;
/** Up to here a file is one PUT. */
const smallBytes = 8 * 1024 * 1024;

/** Small files share a batch, and with it its round trips to Postgres and the upstream; a large one is by itself. */
export function intoBatches(files: readonly BatchFile[]): Batch[] {
  const batches: Batch[] = [];
  let open: number[] = [];
  let openBytes = 0;
  for (const { id, size } of files) {
    if (size === undefined || size > smallBytes) {
      batches.push({ fileIds: [id], small: false });
      continue;
    }
    if (open.length === maxFiles || openBytes + size > maxBytes) {
      batches.push({ fileIds: open, small: true });
      open = [];
      openBytes = 0;
    }
    open.push(id);
    openBytes += size;
  }
  if (open.length > 0) batches.push({ fileIds: open, small: true });
  return batches;
}

/**
 * Queue priority of a transfer: the sooner the upstream deletes the file, the higher. It says when that is, not how
 * long it is until then: the queue keeps what it was given, and a job that has waited for weeks must not stay behind
 * what was queued today and expires later.
 */
export function priorityOf(expiresAt: Date): number {
  return -Math.floor(expiresAt.getTime() / 3_600_000);
}
