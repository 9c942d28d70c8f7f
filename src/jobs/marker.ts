import { randomBytes } from 'node:crypto';
import type { DefinitionConfig } from '../config/config.ts';
import type { Window } from './windows.ts';

/** A word that no other job's title holds: how a job of ours is found again when its create answer was lost. */
export function newMarker(): string {
  return `us${randomBytes(10).toString('hex')}`;
}

/** The upstream title: the marker first, where no limit on a title's length cuts it off; the rest is for people. */
export function jobTitle(definition: DefinitionConfig, window: Window, marker: string): string {
  const from = window.from.toISOString().slice(0, 16);
  const to = window.to.toISOString().slice(0, 16);
  return `${marker} udm-sync ${definition.name} ${from}Z-${to}Z`;
}

/** Whether a title is one of ours, of this installation or of another: it holds a marker. */
export function isOurTitle(title: string): boolean {
  return title.split(/\s+/).some((word) => /^us[0-9a-f]{20}$/.test(word));
}

/** Whether a title is one of ours with this marker; the upstream's own filter only says "contains". */
export function carriesMarker(title: string | undefined, marker: string): boolean {
  return title !== undefined && title.split(/\s+/).includes(marker);
}
