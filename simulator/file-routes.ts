import { type Answer, emptyAnswer, jsonAnswer, refusal } from './answer.ts';
import { badPaging, deleteList, ordered, passes, readPaging } from './lists.ts';
import type { Call, Route } from './routes.ts';
import { fileItem } from './shapes.ts';

/** The most files one call may name. */
const FILES_PER_CALL = 100;

export const fileRoutes: readonly Route[] = [
  { method: 'GET', template: '/v10/file-metadatas', handle: listMetadata },
  { method: 'GET', template: '/v10/files', handle: presignList },
  { method: 'DELETE', template: '/v10/files', handle: deleteFiles },
  { method: 'GET', template: '/v10/files/{filename}', handle: locateFile },
  { method: 'DELETE', template: '/v10/files/{filename}', handle: deleteFile },
];

function listMetadata(call: Call): Answer {
  const paging = readPaging(call);
  if (!paging) return badPaging();
  const { query } = call;
  const historyId = query.get('historyId');
  const since = dateFilter(query.get('startDate'), -Infinity);
  const until = dateFilter(query.get('endDate'), Infinity);
  if (Number.isNaN(since) || Number.isNaN(until)) return refusal(400, 'Unparsable startDate or endDate');
  const files = call.tenant
    .liveFiles()
    .filter(
      (file) =>
        (!historyId || file.historyId === historyId) &&
        file.createdAt >= since &&
        file.createdAt <= until &&
        passes(call, { jobTitle: file.jobTitle, name: file.name, type: file.type, source: file.source }),
    );
  const sorted = ordered(call, files, (file) => file.createdAt);
  call.record.files.push(...sorted.slice(paging.from, paging.from + paging.size).map((file) => file.name));
  return call.shaper.page(
    sorted.map((file, index) => fileItem(call.settings, file, index)),
    paging,
    true,
  );
}

function presignList(call: Call): Answer {
  const names = (call.query.get('filename') ?? '').split(',').filter((name) => name !== '');
  if (names.length === 0) return refusal(400, 'filename is required');
  if (names.length > FILES_PER_CALL) return refusal(400, `At most ${FILES_PER_CALL} files are allowed`);
  const missing = names.filter((name) => !call.tenant.liveFile(name));
  if (missing.length > 0) return jsonAnswer(404, missing);
  call.record.files.push(...names);
  return call.shaper.urls(names.map((name) => ({ name, url: presigned(call, name) })));
}

function locateFile(call: Call): Answer {
  const name = call.params['filename'] ?? '';
  if (!call.tenant.liveFile(name)) return refusal(404, 'File not found');
  call.record.files.push(name);
  return { status: 303, headers: { location: presigned(call, name) } };
}

function deleteFile(call: Call): Answer {
  const name = call.params['filename'] ?? '';
  if (!call.tenant.deleteFile(name)) return refusal(404, 'File not found');
  call.record.files.push(name);
  call.record.deletedFiles.push(name);
  return emptyAnswer(204);
}

function deleteFiles(call: Call): Answer {
  return deleteList(call, 'filename', FILES_PER_CALL, (name) => {
    if (!call.tenant.deleteFile(name)) return 'unknown';
    call.record.files.push(name);
    call.record.deletedFiles.push(name);
    return 'deleted';
  });
}

function presigned(call: Call, name: string): string {
  const { urlLifetime } = call.settings;
  const file = call.tenant.liveFile(name);
  if (file && call.faults.has('changed')) call.tenant.changeFile(file);
  const age = call.faults.has('expired-url') ? (urlLifetime + 60) * 1000 : 0;
  return call.presigner.sign(
    call.originUrl,
    call.tenant.credentials.name,
    name,
    call.clock.now() - age,
    urlLifetime,
  );
}

function dateFilter(text: string | null, otherwise: number): number {
  if (!text) return otherwise;
  return /^\d{12,14}$/.test(text) ? Number(text) : Date.parse(text);
}
