/**
 * What a terminal obeys instead of showing it: control characters (escape sequences begin with one), line and
 * paragraph separators, and marks that turn the direction of text around.
 */
const obeyed = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(character: string): string {
  return named[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Text from outside (names, reasons, words of the upstream) in one line that a terminal only shows: `\u001b[2J`. */
export function printable(text: string): string {
  return text.replace(obeyed, escaped);
}

/** The same for text of ours, which may have lines. */
export function printableLines(text: string): string {
  return text.replace(obeyed, (character) => (character === '\n' ? character : escaped(character)));
}

/** JSON that says the same, and that a terminal only shows; the line breaks between its parts stay. */
export function printableJson(json: string): string {
  return printableLines(json);
}

/** JSON in whose texts the escapes themselves stand, for whoever reads it and prints those texts as they are. */
export function printableJsonTexts(json: string): string {
  return json.replace(obeyed, (character) => (character === '\n' ? character : `\\${escaped(character)}`));
}
