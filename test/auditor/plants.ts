import type { Facts } from './facts.ts';

export type Mutable<T> = T extends Date
  ? T
  : T extends readonly (infer Item)[]
    ? Mutable<Item>[]
    : T extends object
      ? { -readonly [K in keyof T]: Mutable<T[K]> }
      : T;

/** One fault for the auditor to find: changes the facts of a run in which all was well. */
export interface Plant {
  readonly what: string;
  readonly plant: (facts: Mutable<Facts>) => unknown;
  /** What the auditor has to say about it; begins with the name of the rule. */
  readonly says: RegExp;
}

/** Every complaint the auditor knows, and what provokes it. */
export const plants: Plant[] = [
  {
    what: 'a run that failed',
    plant: (f) => (first(f.runs).state = 'failed'),
    says: /^windows: run \d+ is failed/,
  },
  { what: 'a window without a run', plant: (f) => f.runs.pop(), says: /^windows: .* has 0 runs/ },
  {
    what: 'a window with two runs',
    plant: (f) => f.runs.push({ ...first(f.runs), id: 999 }),
    says: /^windows: .* has 2 runs/,
  },
  {
    what: 'a window that is too short',
    plant: (f) => (first(f.runs).windowTo = new Date(first(f.runs).windowTo.getTime() - 1)),
    says: /^windows: .* is not \d+ ms long/,
  },
  {
    what: 'a window nobody asked for',
    plant: (f) => f.runs.push({ ...first(f.runs), definition: 'other' }),
    says: /^windows: .* nobody asked for/,
  },
  {
    what: 'a file without a row',
    plant: (f) => f.files.shift(),
    says: /^files: Postgres does not know/,
  },
  {
    what: 'a key in another folder',
    plant: (f) => (first(f.files).key = `x/${first(f.files).key}`),
    says: /^files: .* has the key x\//,
  },
  {
    what: 'a key of another name',
    plant: (f) => (first(f.files).key += 'x'),
    says: /^files: .* has the key/,
  },
  {
    what: 'a checksum of other bytes',
    plant: (f) => (first(f.files).crc32 = '00000000'),
    says: /^files: Postgres has .* with \d+ bytes and CRC-32 00000000/,
  },
  {
    what: 'an object that is missing',
    plant: (f) => f.objects.splice(f.objects.indexOf(storedFile(f)), 1),
    says: /^files: .* is not in the bucket/,
  },
  {
    what: 'an object with a flipped bit',
    plant: (f) => (storedFile(f).sha256 = '0'.repeat(64)),
    says: /^files: .* holds other bytes/,
  },
  {
    what: 'an object that is too short',
    plant: (f) => (storedFile(f).size -= 1),
    says: /^files: .* holds other bytes/,
  },
  {
    what: 'a job with another title',
    plant: (f) => (first(f.jobs).title = 'theirs'),
    says: /^files: the job "theirs" is nobody's/,
  },
  {
    what: 'two files with one key',
    plant: (f) => (first(f.files).key = first(f.files.slice(1)).key),
    says: /^files: two files have one key/,
  },
  {
    what: 'a file deleted upstream whose bytes are nowhere',
    plant: (f) => (storedFile(f).sha256 = '0'.repeat(64)),
    says: /^lost: .* was deleted by us and is stored nowhere/,
  },
  {
    what: 'a file given up for lost that was there',
    plant: (f) => {
      first(f.files).state = 'lost';
      madeOf(f, first(f.files).name).deletedBy = undefined;
    },
    says: /^lost: .* counts as lost, but the vendor had not deleted it/,
  },
  {
    what: 'a missing manifest',
    plant: (f) => f.objects.splice(f.objects.indexOf(manifestOf(f)), 1),
    says: /^manifests: run \d+ has no manifest/,
  },
  {
    what: 'a manifest that is cut off',
    plant: (f) => (manifestOf(f).text = manifestOf(f).text?.slice(0, -9)),
    says: /^manifests: .* is no manifest/,
  },
  {
    what: 'a manifest of another run',
    plant: (f) => editManifest(f, (m) => (m.run += 1)),
    says: /^manifests: .* is of another run/,
  },
  {
    what: 'a manifest of another window',
    plant: (f) => editManifest(f, (m) => (m.window.to = m.window.from)),
    says: /^manifests: .* is of another window/,
  },
  {
    what: 'a manifest of another job',
    plant: (f) => editManifest(f, (m) => (m.upstream.historyId = 'other')),
    says: /^manifests: .* names another job/,
  },
  {
    what: 'a manifest without a file',
    plant: (f) => editManifest(f, (m) => m.files.pop()),
    says: /^manifests: .* does not list exactly/,
  },
  {
    what: 'a manifest with a wrong size',
    plant: (f) => editManifest(f, (m) => (first(m.files).size += 1)),
    says: /^manifests: .* does not list exactly/,
  },
  {
    what: 'a manifest with a wrong checksum',
    plant: (f) => editManifest(f, (m) => (first(m.files).crc32 = '00000000')),
    says: /^manifests: .* does not list exactly/,
  },
  {
    what: 'a manifest with a wrong key',
    plant: (f) => editManifest(f, (m) => (first(m.files).key += 'x')),
    says: /^manifests: .* lists other keys/,
  },
  {
    what: 'a manifest with wrong totals',
    plant: (f) => editManifest(f, (m) => (m.totals.bytes -= 1)),
    says: /^manifests: .* has wrong totals/,
  },
  {
    what: 'a manifest written too early',
    plant: (f) => editManifest(f, (m) => (m.writtenAt = longAgo)),
    says: /^manifests: .* was written before/,
  },
  {
    what: 'a stray object',
    plant: (f) => f.objects.push({ ...storedFile(f), key: `${storedFile(f).key}.copy` }),
    says: /^strays: .*\.copy belongs to nothing/,
  },
  {
    what: 'parts of an unfinished upload',
    plant: (f) => (f.unfinishedUploads ??= []).push('some/key'),
    says: /^uploads: .* some\/key is left/,
  },
  {
    what: 'an upload that Postgres has forgotten to end',
    plant: (f) => f.uploads.push({ runId: first(f.runs).id, fileId: 7 }),
    says: /^uploads: Postgres still has an upload of file 7/,
  },
  {
    what: 'a file verified after its DELETE',
    plant: (f) => (first(f.files).verifiedAt = new Date(Date.now() + 60_000)),
    says: /^deletedAfterVerified: DELETE .* before .* was verified/,
  },
  {
    what: 'a deleted file nobody verified',
    plant: (f) => (first(f.files).verifiedAt = null),
    says: /^deletedAfterVerified: DELETE .* before .* was verified/,
  },
  {
    what: 'a single DELETE before its file was verified',
    plant: (f) => (deletes(f, 'DELETE /v10/files/{filename}').wallTime = longAgo),
    says: /^deletedAfterVerified: DELETE \/v10\/files\/\{filename\} .* before/,
  },
  {
    what: 'a history entry deleted before its files were verified',
    plant: (f) => (deletes(f, 'DELETE /v10/export/history/{id}').wallTime = longAgo),
    says: /^deletedAfterVerified: DELETE \/v10\/export\/history\/\{id\} .* before/,
  },
  {
    what: 'a job deleted before its files were verified',
    plant: (f) => (deletes(f, 'DELETE /v10/export/jobs/{id}').wallTime = longAgo),
    says: /^deletedAfterVerified: DELETE \/v10\/export\/jobs\/\{id\} .* before/,
  },
  {
    what: 'a DELETE of a file that is not ours',
    plant: (f) => (deletes(f, 'DELETE /v10/files').query['filename'] = 'other'),
    says: /^deletedAfterVerified: .* "other", which Postgres does not know/,
  },
  {
    what: 'a DELETE of history in bulk',
    plant: (f) => (deletes(f, 'DELETE /v10/files').endpoint = 'DELETE /v10/export/history'),
    says: /^deletedAfterVerified: .* "anything through DELETE \/v10\/export\/history"/,
  },
  {
    what: 'a DELETE on its way before the commit',
    plant: (f) => (first(first(testimonies(f)).files).verified = false),
    says: /^deletedAfterCommit: DELETE .* while .* was/,
  },
  {
    what: 'a history entry deleted with a file Postgres did not know',
    plant: (f) => first(testimonies(f).filter(({ path }) => path.includes('/history/'))).files.pop(),
    says: /^deletedAfterCommit: DELETE .* was unknown/,
  },
  {
    what: 'a DELETE past the witness',
    plant: (f) => testimonies(f).pop(),
    says: /^deletedAfterCommit: 1 DELETEs had no witness/,
  },
  {
    what: 'a verification committed after its DELETE',
    plant: (f) => (verifiedLine(f).committedAt = new Date(Date.now() + 60_000)),
    says: /^deletedAfterCommit: DELETE .* was committed as verified at/,
  },
  {
    what: 'a verification that was never committed',
    plant: (f) => f.history.splice(f.history.indexOf(verifiedLine(f)), 1),
    says: /^deletedAfterCommit: DELETE .* was committed as verified never/,
  },
  {
    what: 'a file left upstream',
    plant: (f) => (first(f.upstreamFiles).deletedAt = undefined),
    says: /^cleaned: .* is still upstream/,
  },
  {
    what: 'a file the vendor deleted',
    plant: (f) => (first(f.upstreamFiles).deletedBy = 'vendor'),
    says: /^cleaned: .* was deleted by the vendor/,
  },
  {
    what: 'a deleted file that Postgres takes for kept',
    plant: (f) => (first(f.files).state = 'verified'),
    says: /^cleaned: .* is gone, but Postgres says verified/,
  },
  {
    what: 'a file deleted that was to be kept',
    plant: (f) => (first(f.expected).delete = 'nothing'),
    says: /^cleaned: .* was deleted, and should have been kept/,
  },
  {
    what: 'a job left alive by a run that has ended',
    plant: (f) => (first(f.jobs.filter(({ deletedAt }) => deletedAt === undefined)).endedAt = undefined),
    says: /^abandonedJobs: the job .* is live, but its run is done/,
  },
  {
    what: 'a run that nobody will look at again',
    plant: (f) => (first(f.runs).state = 'exporting'),
    says: /^stuck: run \d+ is exporting, and nothing in the queue/,
  },
  {
    what: 'a second live job',
    plant: (f) => f.jobs.push({ ...first(f.jobs), id: 'other' }),
    says: /^oneLiveJob: .* had two live jobs/,
  },
  {
    what: 'a job made twice',
    plant: (f) => f.jobs.push({ ...first(f.jobs), id: 'other', createdAt: f.now }),
    says: /^oneLiveJob: Postgres does not know the job other/,
  },
  {
    what: 'a job made twice, and deleted by us',
    plant: (f) => {
      f.jobs.push({ ...first(f.jobs), id: 'other', createdAt: f.now, deletedAt: f.now });
      f.requests.push({ ...first(f.requests), method: 'DELETE', jobs: ['other'] });
    },
    says: /^oneLiveJob: Postgres does not know the job other/,
  },
  {
    what: 'a job that vanished, and is none of ours',
    plant: (f) =>
      f.jobs.push({
        ...first(f.jobs),
        ...{
          id: 'other',
          title: first(f.jobs).title.replace(/^us\S+/, 'us0'),
          createdAt: f.now,
          deletedAt: f.now,
        },
      }),
    says: /^oneLiveJob: Postgres does not know the job other/,
  },
  {
    what: 'a line of history that is missing',
    plant: (f) =>
      f.history.splice(
        f.history.findIndex(({ toState }) => toState === 'transferring'),
        1,
      ),
    says: /^history: line \d+ leads/,
  },
  {
    what: 'a state without its line',
    plant: (f) => f.history.pop(),
    says: /^history: .* but its history ends with/,
  },
];

/** The same for entries of people's jobs, in the facts of a sync that adopts some. */
export const plantsOfPeople: Plant[] = [
  {
    what: 'an entry that was not collected',
    plant: (f) =>
      f.runs.splice(
        f.runs.findIndex((run) => run.state === 'done'),
        1,
      ),
    says: /^entries: entry \S+ has 0 runs/,
  },
  {
    what: 'an entry that was collected twice',
    plant: (f) => f.runs.push({ ...first(f.runs), id: 999 }),
    says: /^entries: entry \S+ has 2 runs/,
  },
  {
    what: 'an entry nobody asked for',
    plant: (f) => (first(f.runs).entry = 'another'),
    says: /^entries: run \d+ has an entry nobody asked for/,
  },
  {
    what: 'an entry that failed upstream and is done here',
    plant: (f) => (first(f.runs.filter((run) => run.state === 'failed')).state = 'done'),
    says: /^entries: entry \S+ is failed, and its run done/,
  },
  {
    what: 'a job of people that is gone',
    plant: (f) => (ofJob(f).deletedAt = f.now),
    says: /^peoplesJobs: "Nightly contacts" is gone/,
  },
  {
    what: 'history that is gone',
    plant: (f) => (first(ofJob(f).runs).deletedAt = f.now),
    says: /^peoplesJobs: .* has lost history/,
  },
  {
    what: 'a job of people that was cancelled',
    plant: (f) =>
      f.requests.push({
        ...first(f.requests),
        method: 'POST',
        endpoint: 'POST /v10/export/jobs/cancel/{id}',
        jobs: [ofJob(f).id],
      }),
    says: /^peoplesJobs: POST \/v10\/export\/jobs\/cancel\/\{id\} was sent for/,
  },
  {
    what: 'a file of an entry that is not in the bucket',
    plant: (f) =>
      f.objects.splice(
        f.objects.findIndex(({ key }) => key.endsWith('.smime')),
        1,
      ),
    says: /^files: .* is not in the bucket/,
  },
];

const ofJob = (f: Mutable<Facts>) => first(f.jobs);

const longAgo = '2000-01-01T00:00:00.000Z';

/** The first of a list that a plant needs something in. */
export function first<T>(list: readonly T[]): T {
  const [item] = list;
  if (item === undefined) throw new Error('nothing to plant a fault in');
  return item;
}

/** The rules that a list of plants provokes. */
export function rulesOf(list: readonly Plant[]): Set<string> {
  return new Set(list.map(({ says }) => /^\^(\w+):/.exec(says.source)?.[1] ?? ''));
}

function testimonies(f: Mutable<Facts>) {
  if (!f.testimonies) throw new Error('nobody stood between');
  return f.testimonies;
}

/** A line of a file that was verified and deleted by list. */
function verifiedLine(f: Mutable<Facts>) {
  return first(f.history.filter(({ subject, toState }) => subject === 'file' && toState === 'verified'));
}

function madeOf(f: Mutable<Facts>, name: string) {
  return first(f.upstreamFiles.filter((file) => file.name === name));
}

function storedFile(f: Mutable<Facts>) {
  return first(f.objects.filter(({ key }) => key.endsWith('.smime')));
}

function manifestOf(f: Mutable<Facts>) {
  return first(f.objects.filter(({ key }) => key.endsWith('/_manifest.json')));
}

function deletes(f: Mutable<Facts>, endpoint: string) {
  return first(f.requests.filter((request) => request.endpoint === endpoint));
}

interface Manifest {
  run: number;
  files: { size: number; crc32: string; key: string }[];
  window: { from: string; to: string };
  upstream: { historyId: string };
  totals: { bytes: number };
  writtenAt: string;
}

function editManifest(f: Mutable<Facts>, edit: (manifest: Manifest) => void): void {
  const object = manifestOf(f);
  const manifest = JSON.parse(object.text ?? '') as Manifest;
  edit(manifest);
  object.text = JSON.stringify(manifest);
}
