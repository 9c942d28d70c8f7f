import type { WebhookConfig } from '../config/config.ts';
import { fillTemplate } from '../config/notice-template.ts';
import { counted, showWindow, utc } from '../format.ts';
import { printable } from '../printable.ts';
import type { NoticeGroup } from '../store/notices.ts';

/** Most groups that one message speaks of by themselves; Slack takes 50 blocks. */
export const mostGroups = 20;
/** Most files that a group names. */
export const mostFiles = 10;

/** What a message tells; docs/notifications.md has it as it is sent. */
export interface Message {
  readonly id: string;
  readonly groups: readonly NoticeGroup[];
  /** Groups beyond those. */
  readonly more: number;
  /** A message that only tries the way. */
  readonly test?: boolean;
}

/** The body of a message, as the webhook's format has it. */
export function renderMessage(webhook: WebhookConfig, message: Message): string {
  return JSON.stringify(webhook.format === 'slack' ? slackOf(webhook, message) : plainOf(webhook, message));
}

function plainOf(webhook: WebhookConfig, { id, groups, more, test = false }: Message) {
  const line = lineOf(webhook, (text) => text);
  return {
    version: 1,
    id,
    webhook: webhook.name,
    test,
    text: [...(test ? [testText] : []), ...groups.map(line), ...restOf(more)].join('\n'),
    events: groups.map((group) => ({
      kind: group.kind,
      definition: group.definition,
      tenant: group.tenant,
      run: group.run,
      window: group.from && group.to ? { from: group.from.toISOString(), to: group.to.toISOString() } : null,
      count: group.count,
      files: group.files ?? [],
      reason: group.reason,
      firstAt: group.firstAt.toISOString(),
      lastAt: group.lastAt.toISOString(),
      text: line(group),
    })),
    more,
  };
}

/**
 * Slack's shape. Without a template its blocks are plain text, in which nothing from outside means anything; with one
 * they are mrkdwn, with what is filled in escaped as Slack asks, and links and mentions nowhere guessed (`verbatim`).
 */
function slackOf(webhook: WebhookConfig, { groups, more, test = false }: Message) {
  const escaped = lineOf(webhook, escapeMrkdwn);
  const shown = webhook.template === undefined ? lineOf(webhook, (text) => text) : escaped;
  const around = [...(test ? [testText] : []), ...restOf(more)];
  const plain = (text: string) => ({
    type: 'section',
    text: { type: 'plain_text', text: cut(text, slackTextLimit), emoji: false },
  });
  const section = (text: string) =>
    webhook.template === undefined
      ? plain(text)
      : { type: 'section', text: { type: 'mrkdwn', text: cut(text, slackTextLimit), verbatim: true } };
  return {
    text: [...groups.map(escaped), ...around].join('\n'),
    mrkdwn: webhook.template !== undefined,
    blocks: [...groups.map((group) => section(shown(group))), ...around.map(plain)],
  };
}

const slackTextLimit = 3000;
const testText = 'udm-sync: this is a test. What is told here later looks like this.';

function restOf(more: number): string[] {
  return more > 0 ? [`udm-sync: and ${more} more. udm-sync status and udm-sync runs show them all.`] : [];
}

/** `&`, `<` and `>` as Slack wants them: with those gone, no link, mention or command is left. */
export function escapeMrkdwn(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A group in one line: the template's, or `udm-sync: 12 files dead in run 5 (…): …`. */
function lineOf(webhook: WebhookConfig, escape: (text: string) => string): (group: NoticeGroup) => string {
  const { template } = webhook;
  return (group) => {
    const value = (text: string | null | undefined) => escape(cut(printable(text ?? ''), 300));
    const text = value(sayGroup(group));
    if (template === undefined) return `udm-sync: ${text}`;
    return fillTemplate(template, {
      kind: group.kind,
      text,
      definition: value(group.definition),
      tenant: value(group.tenant),
      run: group.run === null ? '' : String(group.run),
      count: String(group.count),
      file: value(group.files?.[0]),
      window: value(windowOf(group)),
      reason: value(group.reason),
    });
  };
}

function windowOf({ from, to }: NoticeGroup): string {
  if (!from || !to) return '';
  // An adopted entry has an instant, no window.
  return to.getTime() - from.getTime() <= 1 ? `entry of ${utc(from)}` : showWindow(from, to);
}

function sayGroup(group: NoticeGroup): string {
  const { kind, definition, tenant, run, count, files, reason } = group;
  const where = [definition, `tenant ${tenant}`, windowOf(group)].filter((part) => part !== '').join(', ');
  const why = reason ? `: ${reason}` : '';
  const runs = `run ${run ?? '?'} (${where})`;
  switch (kind) {
    case 'run-failed':
      return `${runs} failed${why}`;
    case 'gap':
      return `${definition} (tenant ${tenant}) is overdue${why}`;
    case 'expiry-warning':
    case 'expiry-critical':
      return `${runs}: ${reason ?? kind}`;
    case 'file-dead':
      return `${counted(count, 'file')} given up in ${runs}, still upstream${named(files, count)}${why}`;
    case 'file-lost':
      return `${counted(count, 'file')} LOST in ${runs}: deleted upstream before they were copied${named(files, count)}${why}`;
    case 'recovered':
      return run === null ? `${definition} (tenant ${tenant}) goes on${why}` : `${runs}: over${why}`;
  }
}

function named(files: readonly string[] | null, count: number): string {
  if (!files || files.length === 0) return '';
  const shown = files.slice(0, 3);
  const rest = count - shown.length;
  return ` — ${shown.map((name) => cut(name, 60)).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** At most so many characters, without half a pair at the end. */
function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
