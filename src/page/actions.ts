import type { IncomingMessage } from 'node:http';
import { UsageError } from '../errors.ts';
import { requestCancel, reviveRun } from '../jobs/revive.ts';
import { isForeign, readForm } from './form.ts';
import { notice } from './layout.ts';
import type { Frame } from './layout.ts';
import { loginPage } from './login-page.ts';
import { showRun } from './pages.ts';
import { sessionCookie, sessionIn } from './session.ts';
import type { Sessions } from './session.ts';
import { notFound, page, seeOther } from './site.ts';
import type { Answer, Site } from './site.ts';

/** Answers a form: signing in and out, and what those who have signed in may do. */
export async function act(
  site: Site,
  sessions: Sessions,
  frame: Frame,
  path: string,
  request: IncomingMessage,
): Promise<Answer> {
  if (isForeign(request)) return refused(frame, 'This form was sent from another site.');
  const form = await readForm(request);
  if (!form) return page(notice(frame, 'Refused', 'This is not one of our forms.'), 400);
  if (path === '/login') return signIn(site, sessions, frame, form, request);
  const session = sessionIn(request.headers.cookie);
  if (!sessions.holds(session, Date.now()))
    return refused(frame, 'You are not signed in, or no longer. Sign in and try again.');
  if (!sessions.formIsOurs(session, form.get('form') ?? ''))
    return refused(frame, 'This form is not from a page of your session. Go back, reload, and try again.');
  if (path === '/logout') return seeOther('/', { 'set-cookie': sessionCookie(undefined, isSecure(request)) });
  const [, id = '', action = ''] = /^\/runs\/(\d{1,15})\/(retry|cancel)$/.exec(path) ?? [];
  if (id === '') return notFound(frame, 'There is nothing to do here.');
  return actOnRun(site, frame, Number(id), action === 'retry' ? 'retry' : 'cancel', request);
}

function refused(frame: Frame, why: string): Answer {
  return page(notice(frame, 'Refused', why), 403);
}

function signIn(
  site: Site,
  sessions: Sessions,
  frame: Frame,
  form: URLSearchParams,
  request: IncomingMessage,
): Answer {
  const { attempts, pipeline } = site;
  const address = request.socket.remoteAddress ?? '';
  const waitMs = attempts.waitMs(address, performance.now());
  if (waitMs > 0) {
    const seconds = Math.ceil(waitMs / 1000);
    const problem = `Too many wrong tokens from your address. Try again in ${seconds} s.`;
    return page(loginPage(frame, problem), 429, { 'retry-after': String(seconds) });
  }
  if (!sessions.admits(form.get('token') ?? '')) {
    attempts.failed(address, performance.now());
    pipeline.logger.warn({ address }, 'a wrong token was shown to the status page');
    return page(loginPage(frame, 'This is not the token.'), 403);
  }
  pipeline.logger.info({ address }, 'somebody signed in to the status page');
  return seeOther('/', { 'set-cookie': sessionCookie(sessions.begin(Date.now()), isSecure(request)) });
}

/** A proxy in front may speak HTTPS. Whoever lies about it only gives himself a cookie that he cannot use. */
function isSecure(request: IncomingMessage): boolean {
  return request.headers['x-forwarded-proto'] === 'https';
}

/** Does what `udm-sync retry` and `udm-sync cancel` do. */
async function actOnRun(
  site: Site,
  frame: Frame,
  id: number,
  action: 'retry' | 'cancel',
  request: IncomingMessage,
): Promise<Answer> {
  const { pipeline } = site;
  try {
    const state = await (action === 'retry' ? reviveRun(pipeline, id) : requestCancel(pipeline, id));
    const address = request.socket.remoteAddress;
    pipeline.logger.info({ run: id, action, state, address }, 'an operator acted through the status page');
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return showRun(site, frame, id, new URLSearchParams(), { good: false, text: error.message });
  }
  return seeOther(`/runs/${id}?did=${action}`);
}
