import { type Answer, emptyAnswer, jsonAnswer, refusal } from './answer.ts';
import { readJobRequest } from './job-request.ts';
import { parseJson } from './json.ts';
import { badPaging, deleteList, ordered, passes, readPaging } from './lists.ts';
import type { Call, Route } from './routes.ts';
import { historyItem, jobItem, statusOf } from './shapes.ts';
import { isLive, liveRun, type Job, type JobFate, type Run } from './tenant.ts';

export const jobRoutes: readonly Route[] = [
  { method: 'GET', template: '/v10/export/jobs', handle: listJobs },
  { method: 'POST', template: '/v10/export/jobs', handle: createJob },
  { method: 'DELETE', template: '/v10/export/jobs', handle: deleteJobs },
  {
    method: 'GET',
    template: '/v10/export/jobs/{id}',
    handle: withJob((call, job) => jobAnswer(call, 200, job)),
  },
  { method: 'PUT', template: '/v10/export/jobs/{id}', handle: withJob(updateJob) },
  { method: 'DELETE', template: '/v10/export/jobs/{id}', handle: withJob(deleteJob) },
  { method: 'POST', template: '/v10/export/jobs/cancel/{id}', handle: withJob(cancelJob) },
  { method: 'POST', template: '/v10/export/jobs/suspend/{id}', handle: withJob(suspendJob) },
  { method: 'POST', template: '/v10/export/jobs/resume/{id}', handle: withJob(resumeJob) },
  { method: 'GET', template: '/v10/export/history', handle: listHistory },
  { method: 'DELETE', template: '/v10/export/history', handle: deleteHistories },
  { method: 'GET', template: '/v10/export/history/{id}', handle: withRun(404, runAnswer) },
  { method: 'DELETE', template: '/v10/export/history/{id}', handle: withRun(404, deleteHistory) },
  // The reference knows no 404 here.
  {
    method: 'GET',
    template: '/v10/export/history/{id}/progress',
    handle: withRun(400, (call, _job, run) => call.shaper.progress(call.tenant.progress(run))),
  },
];

function listJobs(call: Call): Answer {
  const paging = readPaging(call);
  if (!paging) return badPaging();
  const suspend = call.query.get('suspend');
  const jobs = call.tenant.jobs.filter(
    (job) =>
      job.deletedAt === undefined &&
      passes(call, { title: job.request.title, source: job.request.source, type: job.request.type }) &&
      (!suspend || String(job.suspended) === suspend),
  );
  const sorted = ordered(call, jobs, (job) => job.createdAt);
  call.record.jobs.push(...sorted.slice(paging.from, paging.from + paging.size).map((job) => job.id));
  return call.shaper.page(
    sorted.map((job) => jobItem(call.settings, job)),
    paging,
  );
}

function createJob(call: Call): Answer {
  const body = parseJson(call.body.toString());
  call.record.body = body;
  const request = readJobRequest(body);
  if (typeof request === 'string') return refusal(400, request);
  if (!call.tenant.certificate) return refusal(400, 'Encryption certificate is not uploaded');
  const job = call.tenant.createJob(request, fateOf(call));
  call.record.jobs.push(job.id);
  call.record.histories.push(...job.runs.map((run) => run.id));
  if (call.settings.createAnswer === 'empty') return emptyAnswer(202);
  if (call.settings.createAnswer === 'id') {
    return jsonAnswer(202, { id: call.settings.numericIds ? Number(job.id) : job.id });
  }
  return jobAnswer(call, 202, job);
}

function fateOf(call: Call): JobFate | undefined {
  const fault = call.faults.get('job-fails', 'job-cancelled', 'job-vanishes', 'unknown-status');
  return (
    fault && {
      kind: fault.kind,
      atProgress: fault.atProgress ?? 50,
      reason: fault.reason ?? 'Internal export error',
      word: fault.word ?? 'Awaiting Orbit',
    }
  );
}

function updateJob(call: Call, job: Job): Answer {
  const body = parseJson(call.body.toString());
  call.record.body = body;
  const request = readJobRequest(body);
  if (typeof request === 'string') return refusal(400, request);
  if (liveRun(job)) return refusal(400, 'Job is in progress');
  job.request = request;
  return jobAnswer(call, 200, job);
}

function deleteJob(call: Call, job: Job): Answer {
  if (liveRun(job)) return refusal(400, 'Job is in progress and cannot be deleted');
  call.record.deletedFiles.push(...call.tenant.deleteJob(job));
  return emptyAnswer(204);
}

function deleteJobs(call: Call): Answer {
  return deleteList(call, 'jobIDs', Infinity, (id) => {
    const job = call.tenant.liveJob(id);
    if (!job) return 'unknown';
    call.record.jobs.push(id);
    if (liveRun(job)) return 'refused';
    call.record.deletedFiles.push(...call.tenant.deleteJob(job));
    return 'deleted';
  });
}

function cancelJob(call: Call, job: Job): Answer {
  return call.tenant.cancel(job) ? emptyAnswer(200) : refusal(400, 'Job is not in progress');
}

function suspendJob(call: Call, job: Job): Answer {
  return call.tenant.suspend(job) ? jobAnswer(call, 200, job) : refusal(400, 'Job cannot be suspended');
}

function resumeJob(call: Call, job: Job): Answer {
  return call.tenant.resume(job) ? jobAnswer(call, 200, job) : refusal(400, 'Job is not suspended');
}

function listHistory(call: Call): Answer {
  const paging = readPaging(call);
  if (!paging) return badPaging();
  const { tenant, settings, query } = call;
  const jobId = query.get('jobId');
  const runs = tenant.liveRuns().filter(
    ({ job, run }) =>
      (!jobId || job.id === jobId) &&
      passes(call, {
        title: job.request.title,
        status: statusOf(settings, job, run),
        fileName: tenant.filesOf(run)[0]?.name,
        source: job.request.source,
        type: job.request.type,
      }),
  );
  const sorted = ordered(call, runs, ({ run }) => run.createdAt);
  call.record.histories.push(
    ...sorted.slice(paging.from, paging.from + paging.size).map(({ run }) => run.id),
  );
  return call.shaper.page(
    sorted.map(({ job, run }) => historyItem(settings, tenant, job, run)),
    paging,
  );
}

function runAnswer(call: Call, job: Job, run: Run): Answer {
  return call.shaper.object(200, historyItem(call.settings, call.tenant, job, run));
}

function deleteHistory(call: Call, _job: Job, run: Run): Answer {
  if (isLive(run)) return refusal(400, 'History is in progress and cannot be deleted');
  call.record.deletedFiles.push(...call.tenant.deleteRun(run));
  return emptyAnswer(204);
}

/** The parameter is called jobIDs, and people pass either: an id of an entry, or of a job for all its entries. */
function deleteHistories(call: Call): Answer {
  return deleteList(call, 'jobIDs', Infinity, (id) => {
    const found = call.tenant.liveRuns().filter(({ job, run }) => run.id === id || job.id === id);
    if (found.length === 0) return 'unknown';
    call.record.histories.push(...found.map(({ run }) => run.id));
    if (found.some(({ run }) => isLive(run))) return 'refused';
    for (const { run } of found) call.record.deletedFiles.push(...call.tenant.deleteRun(run));
    return 'deleted';
  });
}

function jobAnswer(call: Call, status: number, job: Job): Answer {
  return call.shaper.object(status, jobItem(call.settings, job));
}

function withJob(handle: (call: Call, job: Job) => Answer): (call: Call) => Answer {
  return (call) => {
    const job = call.tenant.liveJob(call.params['id'] ?? '');
    if (!job) return refusal(404, 'Job not found');
    call.record.jobs.push(job.id);
    return handle(call, job);
  };
}

function withRun(
  missing: number,
  handle: (call: Call, job: Job, run: Run) => Answer,
): (call: Call) => Answer {
  return (call) => {
    const found = call.tenant.liveRuns().find(({ run }) => run.id === call.params['id']);
    if (!found) return refusal(missing, 'History not found');
    call.record.jobs.push(found.job.id);
    call.record.histories.push(found.run.id);
    return handle(call, found.job, found.run);
  };
}
