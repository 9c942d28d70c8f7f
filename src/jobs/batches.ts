/** How a run's files are divided into transfers. Sizes in bytes. */

export interface BatchFile {
  readonly id: number;
  /** As the upstream announced it; undefined counts as large. */
  readonly size: number | undefined;
}

const maxFiles = 32;
const maxBytes = 64 * 1024 * 1024;

/** Small files share a batch, so that they share its round trips to Postgres; a large one has a batch of its own. */
export function intoBatches(files: readonly BatchFile[]): number[][] {
  const batches: number[][] = [];
  let open: number[] = [];
  let openBytes = 0;
  for (const { id, size } of files) {
    if (size === undefined || size > maxBytes / 4) {
      batches.push([id]);
      continue;
    }
    if (open.length === maxFiles || openBytes + size > maxBytes) {
      batches.push(open);
      open = [];
      openBytes = 0;
    }
    open.push(id);
    openBytes += size;
  }
  if (open.length > 0) batches.push(open);
  return batches;
}

/** Queue priority of a transfer: the sooner the upstream deletes the file, the higher. 30 days away is 0. */
export function priorityOf(expiresAt: Date, now: Date): number {
  const hoursLeft = Math.floor((expiresAt.getTime() - now.getTime()) / 3_600_000);
  return Math.min(1000, Math.max(0, 720 - hoursLeft));
}
