// @ts-check
/**
 * What the page does by itself: it fetches itself anew every few seconds while somebody looks, and puts in what has
 * changed; it says times in the reader's own zone; arrow keys walk the calendar. Without it everything works by reload.
 */

const everyMs = Number(document.body.dataset['refresh'] ?? 0);
/** After failures it asks ever less often, up to this. */
const slowestMs = 30_000;
const patienceMs = 20_000;

/** What the server last sent for each part, by its id: the document itself is changed below. */
const sent = new Map(parts(document).map((part) => [part.id, part.innerHTML]));
const stale = document.getElementById('stale');
const pause = document.getElementById('pause');

let paused = false;
let failures = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {Document} from */
function parts(from) {
  return [...from.querySelectorAll('[data-live]')];
}

async function refresh() {
  try {
    const response = await fetch(location.href, {
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout(patienceMs),
    });
    if (!response.ok) throw new Error(String(response.status));
    put(new DOMParser().parseFromString(await response.text(), 'text/html'));
    failures = 0;
    say('');
  } catch {
    failures += 1;
    say('Not up to date: the server does not answer. Trying again.');
  }
  again();
}

/** @param {string} text */
function say(text) {
  if (stale && stale.textContent !== text) stale.textContent = text;
}

function again() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  timer = setTimeout(() => void refresh(), Math.min(everyMs * 2 ** failures, slowestMs));
}

/**
 * Puts in what has changed. A part that somebody is selecting text in waits for the next time.
 *
 * @param {Document} fresh
 */
function put(fresh) {
  for (const part of parts(fresh)) {
    const here = document.getElementById(part.id);
    if (!here || sent.get(part.id) === part.innerHTML || isSelected(here)) continue;
    sent.set(part.id, part.innerHTML);
    const open = new Set([...here.querySelectorAll('details[open]')].map((details) => details.id));
    const focus = focusIn(here);
    const scrolled = [...here.querySelectorAll('.scroll')].map((element) => element.scrollLeft);
    here.className = part.className;
    here.replaceChildren(...document.importNode(part, true).childNodes);
    for (const details of here.querySelectorAll('details')) if (open.has(details.id)) details.open = true;
    here.querySelectorAll('.scroll').forEach((element, at) => (element.scrollLeft = scrolled[at] ?? 0));
    focus?.();
    localise(here);
  }
}

/** @param {Element} part */
function isSelected(part) {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(part, true);
}

/**
 * How to give the focus back to what has it now, once the part is made anew.
 *
 * @param {Element} part
 */
function focusIn(part) {
  const active = document.activeElement;
  if (!(active instanceof HTMLElement) || !part.contains(active)) return undefined;
  const like =
    active instanceof HTMLAnchorElement
      ? `a[href="${CSS.escape(active.getAttribute('href') ?? '')}"]`
      : active.localName;
  const at = [...part.querySelectorAll(like)].indexOf(active);
  return () => {
    const found = [...part.querySelectorAll(like)][at];
    if (found instanceof HTMLElement) found.focus({ preventScroll: true });
  };
}

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

/**
 * Adds the reader's own time to every instant.
 *
 * @param {ParentNode} within
 */
function localise(within) {
  for (const time of within.querySelectorAll('time[datetime]')) {
    if (!(time instanceof HTMLTimeElement)) continue;
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title = `${zone.format(at)}\n${at.toISOString().slice(0, 19)}Z`;
  }
}

/** @type {Readonly<Record<string, readonly [number, number]>>} */
const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** @param {KeyboardEvent} event */
function walk(event) {
  const step = steps[event.key];
  const cell = event.target instanceof Element ? event.target.closest('.calendar td') : null;
  const row = cell?.closest('tr');
  if (!step || !cell || !row || event.ctrlKey || event.altKey || event.metaKey) return;
  const rows = [...(row.parentElement?.children ?? [])];
  let [y, x] = [rows.indexOf(row), [...row.children].indexOf(cell)];
  for (;;) {
    y += step[0];
    x += step[1];
    const next = rows[y]?.children[x];
    if (!next) return;
    const link = next.querySelector('a');
    if (!link) continue;
    event.preventDefault();
    link.focus();
    return;
  }
}

localise(document);
document.addEventListener('keydown', walk);
if (everyMs > 0) {
  document.addEventListener('visibilitychange', () =>
    document.hidden ? clearTimeout(timer) : void (paused || refresh()),
  );
  if (pause) {
    pause.hidden = false;
    pause.addEventListener('click', () => {
      paused = !paused;
      pause.setAttribute('aria-pressed', String(paused));
      if (paused) clearTimeout(timer);
      else void refresh();
    });
  }
  again();
}
