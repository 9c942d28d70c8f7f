import { endpointOf } from './api.ts';
import type { Api } from './api.ts';
import { deleteAll, isDeleteAnswer } from './delete-list.ts';
import { tryJson } from './json.ts';
import { listAll } from './list.ts';
import { isMissing } from './refusal.ts';
import { createdJobSchema, jobSchema, unwrap } from './shapes.ts';
import type { ExportJob, UdmClient } from './types.ts';

type JobOperations = Pick<
  UdmClient,
  | 'listJobs'
  | 'createJob'
  | 'getJob'
  | 'updateJob'
  | 'deleteJob'
  | 'deleteJobList'
  | 'cancelJob'
  | 'suspendJob'
  | 'resumeJob'
>;

const collection = '/v10/export/jobs';
const job = '/v10/export/jobs/{id}';
const json = 'application/json';

/** /v10/export/jobs: what to export, and when. */
export function jobOperations(api: Api, pageSize: number): JobOperations {
  const command = (verb: 'cancel' | 'suspend' | 'resume') => (id: string, signal?: AbortSignal) =>
    api.done({
      method: 'POST',
      route: `${collection}/${verb}/{id}`,
      params: { id },
      isAnswer: isMissing,
      signal,
    });

  return {
    listJobs(filter = {}, signal) {
      const { title, source, type, scheduleType, suspend } = filter;
      const query = {
        title,
        source,
        type,
        scheduleType,
        suspend: suspend === undefined ? undefined : String(suspend),
      };
      return listAll(api, {
        route: collection,
        query,
        item: jobSchema,
        keyOf: ({ id }) => id,
        pageSize,
        signal,
      });
    },
    async createJob(body, signal) {
      const { body: answer } = await api.send({
        method: 'POST',
        route: collection,
        body: JSON.stringify(body),
        contentType: json,
        repeatable: false,
        signal,
      });
      const made = parseCreated(answer);
      return { id: made?.id, job: made };
    },
    getJob(id, signal) {
      return api.find({ method: 'GET', route: job, params: { id }, signal }, jobSchema);
    },
    async updateJob(id, body, signal) {
      await api.done({
        method: 'PUT',
        route: job,
        params: { id },
        body: JSON.stringify(body),
        contentType: json,
        signal,
      });
    },
    async deleteJob(id, signal) {
      await api.done({ method: 'DELETE', route: job, params: { id }, isAnswer: isMissing, signal });
    },
    deleteJobList(ids, signal) {
      const call = { method: 'DELETE', route: collection, isAnswer: isDeleteAnswer, signal } as const;
      return deleteAll(ids, {
        endpoint: endpointOf(call),
        sendList: (jobIDs) => api.send({ ...call, query: { jobIDs } }),
        sendOne: (id) => api.send({ ...call, route: job, params: { id } }),
      });
    },
    cancelJob: command('cancel'),
    suspendJob: command('suspend'),
    resumeJob: command('resume'),
  };
}

/** The job was made, whatever the answer looks like: an unreadable one is no id, not an error. */
function parseCreated(body: Uint8Array): ExportJob | undefined {
  const { data } = unwrap(tryJson(body));
  return createdJobSchema.safeParse(data).data;
}
