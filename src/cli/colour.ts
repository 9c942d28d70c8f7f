import { styleText } from 'node:util';
import { printable } from '../printable.ts';

const styles = { good: 'green', busy: 'cyan', warn: 'yellow', bad: 'red' } as const;
export type Tone = keyof typeof styles;

/**
 * One line of text on stdout in bold and a colour, if stdout is a terminal that has any and neither NO_COLOR nor
 * TERM=dumb is set. The text is made printable here: only the colour is an escape sequence.
 */
export function tinted(tone: Tone, text: string): string {
  return styleText(['bold', styles[tone]], printable(text), { stream: process.stdout });
}
