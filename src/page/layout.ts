import { humanDuration, utc } from '../format.ts';
import { kindWords } from './calendar.ts';
import type { Kind } from './calendar.ts';
import { html } from './html.ts';
import type { Html, Part } from './html.ts';

/** Who looks: a reader, or somebody who has shown the token and may act. */
export type Visitor =
  { readonly may: 'read'; readonly canSignIn: boolean } | { readonly may: 'act'; readonly formToken: string };

/** What every page shows around its content. */
export interface Frame {
  readonly visitor: Visitor;
  /** Addresses of the style sheet, the script and the icon, by file name. */
  readonly assets: Readonly<Record<string, string>>;
  /** Which process answers. */
  readonly who: string;
  /** Postgres' clock; undefined where Postgres was not asked. */
  readonly now?: Date | undefined;
  /** What is being searched for. */
  readonly search?: string | undefined;
}

/** How often a page that is looked at fetches itself anew, in ms. */
const refreshMs = 3000;

interface Page {
  readonly title: string;
  readonly here?: 'overview' | 'runs';
  readonly content: Part;
  /** Whether the page keeps itself up to date. */
  readonly live?: boolean;
}

/** A whole page. */
export function layout(frame: Frame, { title, here, content, live = false }: Page): Html {
  const { assets, visitor, now, who } = frame;
  const link = (to: string, name: string, current: boolean) =>
    html`<a href="${to}" ${current ? html` aria-current="page"` : ''}>${name}</a>`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – udm-sync</title>
<link rel="icon" href="${assets['icon.svg']}" type="image/svg+xml">
<link rel="stylesheet" href="${assets['page.css']}">
<script src="${assets['live.js']}" defer></script>
</head>
<body${live ? html` data-refresh="${refreshMs}"` : ''}>
<a class="skip" href="#content">Skip to content</a>
<svg class="unseen" aria-hidden="true"><defs><pattern id="gap" width="3" height="3" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="missing-ground" width="3" height="3"/><rect class="missing-line" width="1.8" height="3"/></pattern></defs></svg>
<header class="top">
<a class="brand" href="/">udm-sync</a>
<nav aria-label="Pages">${link('/', 'Overview', here === 'overview')}${link('/runs', 'Runs', here === 'runs')}</nav>
<form class="search" role="search" action="/search" method="get">
<label class="unseen" for="q">Search for a file, job or run</label>
<input id="q" name="q" type="search" value="${frame.search ?? ''}" placeholder="File, job or run" maxlength="300" autocomplete="off" spellcheck="false">
<button type="submit">Search</button>
</form>
</header>
<main id="content" tabindex="-1">
${content}
</main>
<footer>
<p id="freshness" class="freshness"${live ? html` data-live` : ''}>${now && html`Updated ${instant(now)}`}</p>
<button id="pause" type="button" hidden aria-pressed="false">Pause updates</button>
<p id="stale" class="stale" role="status"></p>
<p class="who">Times are UTC. Served by <code>${who}</code></p>
${account(visitor)}
</footer>
</body>
</html>
`;
}

function account(visitor: Visitor): Part {
  if (visitor.may === 'act')
    return html`<form action="/logout" method="post">
      ${formToken(visitor)}<button type="submit">Sign out</button>
    </form>`;
  if (visitor.canSignIn) return html`<p><a href="/login">Sign in</a> to retry and cancel runs</p>`;
  return html`<p>Read-only</p>`;
}

/** What makes a form ours. */
export function formToken(visitor: Visitor): Part {
  return visitor.may === 'act' && html`<input type="hidden" name="form" value="${visitor.formToken}" />`;
}

/** An instant to the second, in UTC; the script adds the reader's own time. */
export function instant(at: Date): Html {
  return html`<time datetime="${at.toISOString()}">${utc(at).replace('T', ' ').replace('Z', '')}</time>`;
}

/** An instant to the minute. */
export function minute(at: Date): Html {
  return html`<time datetime="${at.toISOString()}">${at.toISOString().slice(0, 16).replace('T', ' ')}</time>`;
}

/** How long ago something was, or how soon it will be; the exact instant is in its title. */
export function relative(at: Date, now: Date): Html {
  const ms = now.getTime() - at.getTime();
  const words =
    Math.abs(ms) < 1000 ? 'now' : ms > 0 ? `${humanDuration(ms)} ago` : `in ${humanDuration(-ms)}`;
  return html`<time datetime="${at.toISOString()}" title="${utc(at)}">${words}</time>`;
}

/** A window as people read it: the end without what it shares with the start. */
export function windowText(from: Date, to: Date): Html {
  const [a, b] = [from.toISOString(), to.toISOString()];
  const sameDay = a.slice(0, 10) === b.slice(0, 10);
  const midnights = a.slice(11, 16) === '00:00' && b.slice(11, 16) === '00:00';
  const [begin, end] = midnights
    ? [a.slice(0, 10), b.slice(0, 10)]
    : [a.slice(0, 16).replace('T', ' '), sameDay ? b.slice(11, 16) : b.slice(0, 16).replace('T', ' ')];
  return html`<time class="window" datetime="${a}">${begin} – ${end}</time>`;
}

/** A state of a run or file, as a small label. */
export function badge(state: string): Html {
  return html`<span class="badge ${toneOf(state)}">${state}</span>`;
}

const tones: Readonly<Record<string, string>> = {
  done: 'done',
  verified: 'done',
  deleted: 'done',
  completed: 'done',
  failed: 'failed',
  dead: 'failed',
  lost: 'failed',
  vanished: 'failed',
  cancelled: 'cancelled',
  missing: 'missing',
};

function toneOf(state: string): string {
  return tones[state] ?? 'running';
}

/** What the colours of a calendar mean. */
export function legend(): Html {
  const shown: readonly Kind[] = ['done', 'running', 'failed', 'missing', 'cancelled'];
  return html`<ul class="legend" aria-label="Colours">
    ${shown.map((kind) => html`<li><i class="swatch ${kind}"></i>${kindWords[kind]}</li>`)}
  </ul>`;
}

/** The address of a definition's own page. */
export function definitionPath(name: string): string {
  return `/definitions/${encodeURIComponent(name)}`;
}

/** A number with thin spaces between thousands. */
export function grouped(n: number): string {
  return String(n).replaceAll(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** A page that says one thing. */
export function notice(frame: Frame, title: string, text: Part): Html {
  return layout(frame, {
    title,
    content: html`<section class="card notice">
      <h1>${title}</h1>
      <p>${text}</p>
    </section>`,
  });
}
