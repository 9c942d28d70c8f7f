import { X509Certificate } from 'node:crypto';
import { type Answer, emptyAnswer, jsonAnswer, refusal } from './answer.ts';
import { ATTRIBUTES, findSource, findType, SOURCES } from './catalog.ts';
import type { Call, Route } from './routes.ts';
import { sourceWords, statusWordList } from './shapes.ts';

export const otherRoutes: readonly Route[] = [
  { method: 'GET', template: '/v10/cipher', handle: getCipher },
  { method: 'POST', template: '/v10/cipher/{certificatefilename}', handle: uploadCipher },
  { method: 'GET', template: '/v10/data/attributes', handle: listAttributes },
  {
    method: 'GET',
    template: '/v10/data/job-statuses',
    handle: (call) => call.shaper.words(statusWordList(call.settings)),
  },
  { method: 'GET', template: '/v10/data/sources', handle: (call) => call.shaper.words(sourceWords()) },
  { method: 'GET', template: '/v10/data/types', handle: listTypes },
  { method: 'GET', template: '/v10/data/sub-types', handle: listSubTypes },
  {
    method: 'GET',
    template: '/v10/resources/labels',
    open: true,
    handle: () => jsonAnswer(200, { 'job.title': 'Title' }),
  },
  {
    method: 'GET',
    template: '/v10/version',
    open: true,
    handle: () =>
      jsonAnswer(200, { name: 'udm', version: '10.0.0-simulated', build: '1', date: '2026-01-01' }),
  },
];

/** Never in an envelope, whatever the other answers do. */
function getCipher(call: Call): Answer {
  const { certificate } = call.tenant;
  return certificate ? jsonAnswer(200, certificate) : refusal(404, 'Certificate not found');
}

async function uploadCipher(call: Call): Promise<Answer> {
  const content = await formFile(call);
  if (!content) return refusal(400, 'A multipart form with the field "file" is required');
  const problem = certificateProblem(content);
  if (problem !== undefined) return refusal(400, problem);
  call.tenant.setCertificate(call.params['certificatefilename'] ?? '', content.length);
  return emptyAnswer(201);
}

async function formFile(call: Call): Promise<Buffer | undefined> {
  try {
    const response = new Response(new Uint8Array(call.body), {
      headers: { 'content-type': call.contentType },
    });
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- a certificate of 2 kB needs no streaming parser
    const form = await response.formData();
    const file = form.get('file');
    return file instanceof File ? Buffer.from(await file.arrayBuffer()) : undefined;
  } catch {
    return undefined;
  }
}

function certificateProblem(content: Buffer): string | undefined {
  try {
    const { publicKey } = new X509Certificate(content);
    return publicKey.asymmetricKeyType === 'rsa' ? undefined : 'Certificate must have an RSA key';
  } catch {
    return 'Not an X.509 certificate';
  }
}

function listAttributes(call: Call): Answer {
  const entities = call.query.get('entities')?.split(',') ?? Object.keys(ATTRIBUTES);
  const names = entities.flatMap((entity) => ATTRIBUTES[entity] ?? []);
  return call.shaper.words([...new Set(names)].map((name) => ({ name })));
}

function listTypes(call: Call): Answer {
  const source = call.query.get('source');
  const found = source ? [findSource(source)] : SOURCES;
  const names = new Set(found.flatMap((s) => s?.types.map((type) => type.name) ?? []));
  return call.shaper.words([...names].map((name) => ({ name })));
}

function listSubTypes(call: Call): Answer {
  const dataType = call.query.get('dataType');
  const source = call.query.get('source');
  if (source && !findSource(source)) return refusal(400, 'Unknown source');
  const names = SOURCES.filter((s) => !source || s === findSource(source))
    .flatMap((s) => (dataType ? [findType(s.name, dataType)] : s.types))
    .flatMap((type) => type?.subTypes ?? []);
  return call.shaper.words([...new Set<string>(names)].map((name) => ({ name })));
}
