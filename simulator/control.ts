import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, emptyAnswer, jsonAnswer, refusal } from './answer.ts';
import { readBody, splitUrl } from './api.ts';
import { readFaultRule } from './faults.ts';
import { isObject, parseJson } from './json.ts';
import type { Simulator } from './server.ts';

/** The prefix of the control endpoints: for tests and demos, no part of the upstream, and never recorded. */
export const CONTROL_PREFIX = '/_sim/';

/** Serves /_sim/faults, /_sim/clock, /_sim/log, /_sim/state, /_sim/jobs, /_sim/runs, /_sim/files and /_sim/digest. */
export async function serveControl(sim: Simulator, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const [path, rawQuery] = splitUrl(req.url ?? '/');
  const text = (await readBody(req)).toString();
  const body = text === '' ? {} : parseJson(text);
  const answer = isObject(body)
    ? await control(
        sim,
        `${req.method ?? 'GET'} ${path.slice(CONTROL_PREFIX.length)}`,
        new URLSearchParams(rawQuery),
        body,
      )
    : refusal(400, 'body must be a JSON object');
  res.writeHead(answer.status, answer.headers);
  for (const chunk of answer.body?.chunks() ?? []) res.write(chunk);
  res.end();
}

async function control(
  sim: Simulator,
  action: string,
  query: URLSearchParams,
  body: Record<string, unknown>,
): Promise<Answer> {
  switch (action) {
    case 'GET faults':
      return jsonAnswer(
        200,
        sim.faults
          .list()
          .map(({ rule, ...fault }) => ({ ...fault, rule: { ...rule, endpoint: String(rule.endpoint) } })),
      );
    case 'POST faults': {
      const rule = readFaultRule(body);
      return typeof rule === 'string' ? refusal(400, rule) : jsonAnswer(201, { id: sim.faults.add(rule).id });
    }
    case 'DELETE faults': {
      const id = query.get('id');
      if (id === null) sim.faults.clear();
      else if (!sim.faults.remove(Number(id))) return refusal(404, 'No such fault');
      return emptyAnswer(204);
    }
    case 'GET clock':
      return clockAnswer(sim);
    case 'POST clock':
      return moveClock(sim, body);
    case 'GET log': {
      const since = Number(query.get('since') ?? 0);
      return jsonAnswer(
        200,
        sim.requests.filter((request) => request.seq > since),
      );
    }
    case 'GET state':
      return jsonAnswer(200, sim.state());
    case 'POST jobs': {
      const { tenant, ...job } = body;
      const made = sim.addJob(job, typeof tenant === 'string' ? tenant : undefined);
      return typeof made === 'string' ? jsonAnswer(201, { id: made }) : refusal(400, made.problem);
    }
    case 'POST runs': {
      const { job, at, fails, reason } = body;
      if (typeof job !== 'string') return refusal(400, 'job is required: its id');
      const time = typeof at === 'string' ? new Date(at) : undefined;
      if (Number.isNaN(time?.getTime())) return refusal(400, 'at must be an ISO date');
      const run = sim.runJob(job, {
        ...(time ? { at: time } : {}),
        ...(fails === 'failed' || fails === 'cancelled' ? { fails } : {}),
        ...(typeof reason === 'string' ? { reason } : {}),
      });
      return run === undefined ? refusal(404, 'No such job') : jsonAnswer(201, { id: run });
    }
    case 'POST files': {
      const { name, size, tenant } = body;
      if (typeof name !== 'string' || typeof size !== 'number')
        return refusal(400, 'name and size are required');
      sim.addFile({ name, size }, typeof tenant === 'string' ? tenant : undefined);
      return emptyAnswer(201);
    }
    case 'GET digest': {
      const name = query.get('name') ?? '';
      const generation = query.get('generation');
      const digest = await sim.fileDigest(name, {
        ...(query.has('tenant') ? { tenant: query.get('tenant') ?? '' } : {}),
        ...(generation === null ? {} : { generation: Number(generation) }),
      });
      return digest ? jsonAnswer(200, digest) : refusal(404, 'No such file');
    }
    default:
      return refusal(
        404,
        'GET|POST|DELETE faults, GET|POST clock, GET log, GET state, POST jobs, POST runs, POST files, GET digest',
      );
  }
}

function moveClock(sim: Simulator, { set, advance, speed }: Record<string, unknown>): Answer {
  const time = typeof set === 'number' ? set : typeof set === 'string' ? Date.parse(set) : undefined;
  if (Number.isNaN(time)) return refusal(400, 'set must be an ISO date or epoch ms');
  if (time !== undefined) sim.clock.set(time);
  if (typeof advance === 'number') sim.clock.advance(advance);
  if (typeof speed === 'number' && speed >= 0) sim.clock.speed = speed;
  return clockAnswer(sim);
}

function clockAnswer(sim: Simulator): Answer {
  const now = sim.clock.now();
  return jsonAnswer(200, { now, iso: new Date(now).toISOString(), speed: sim.clock.speed });
}
