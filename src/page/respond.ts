import type { IncomingMessage } from 'node:http';
import { act } from './actions.ts';
import type { Frame, Visitor } from './layout.ts';
import { loginPage } from './login-page.ts';
import { showDefinition, showHits, showOverview, showRun, showRuns } from './pages.ts';
import { sessionIn } from './session.ts';
import { notFound, page, plain, seeOther } from './site.ts';
import type { Answer, Site } from './site.ts';

/** Answers a request whose Host header was found right. */
export async function respond(site: Site, request: IncomingMessage): Promise<Answer> {
  const { method = '', url = '/', headers } = request;
  // A request target is a path here; the rest is only there to parse it.
  if (!url.startsWith('/') || !URL.canParse(url, 'http://page')) return plain(400, 'This is no address.');
  const { pathname, searchParams } = new URL(url, 'http://page');
  const frame = frameFor(site, headers.cookie);
  const reading = method === 'GET' || method === 'HEAD';
  if (method === 'POST' && site.sessions) return act(site, site.sessions, frame, pathname, request);
  if (!reading)
    return plain(405, 'This page is read-only.', { allow: site.sessions ? 'GET, HEAD, POST' : 'GET, HEAD' });
  if (pathname.startsWith('/static/')) return asset(site, pathname, headers['if-none-match']);
  return show(site, frame, pathname, searchParams);
}

function frameFor({ sessions, assets, pipeline }: Site, cookies: string | undefined): Frame {
  const session = sessionIn(cookies);
  const visitor: Visitor = sessions?.holds(session, Date.now())
    ? { may: 'act', formToken: sessions.formToken(session) }
    : { may: 'read', canSignIn: sessions !== undefined };
  const paths = Object.fromEntries(Object.entries(assets).map(([name, { path }]) => [name, path]));
  return { visitor, assets: paths, who: pipeline.who };
}

function show(site: Site, frame: Frame, path: string, query: URLSearchParams): Promise<Answer> | Answer {
  if (path === '/') return showOverview(site, frame, query);
  if (path === '/runs') return showRuns(site, frame, query);
  if (path === '/search') return showHits(site, frame, query);
  if (path === '/login' && site.sessions)
    return frame.visitor.may === 'act' ? seeOther('/') : page(loginPage(frame));
  const [, run] = /^\/runs\/(\d{1,15})$/.exec(path) ?? [];
  if (run !== undefined) return showRun(site, frame, Number(run), query);
  const [, definition] = /^\/definitions\/([^/]+)$/.exec(path) ?? [];
  const name = definition === undefined ? undefined : decoded(definition);
  if (name !== undefined) return showDefinition(site, frame, name, query);
  return notFound(frame, 'There is no such page.');
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text).replaceAll('\0', '');
  } catch {
    return undefined;
  }
}

function asset({ assets }: Site, path: string, known: string | undefined): Answer {
  const found = Object.values(assets).find((one) => one.path === path);
  if (!found) return plain(404, 'There is no such file.');
  const headers = { 'cache-control': 'public, max-age=31536000, immutable', etag: found.etag };
  if (known === found.etag) return { status: 304, type: found.type, body: '', headers };
  return { status: 200, type: found.type, body: found.body, headers };
}
