/**
 * The document with what each section of a day's transcript printed as its `console` block.
 *
 * @throws Error when a section has no such block, or the document has sections with blocks that the day has not
 */
export function withTranscript(document: string, transcript: string): string {
  const sections = new Map(
    transcript
      .split(/^## /m)
      .slice(1)
      .map((text): [string, string] => {
        const end = text.indexOf('\n');
        return [text.slice(0, end), text.slice(end).trim()];
      }),
  );
  const parts = document.split(/^(?=## )/m).map((part) => {
    const title = /^## (.*)/.exec(part)?.[1] ?? '';
    const said = sections.get(title);
    if (!part.includes('```console')) return part;
    if (said === undefined) throw new Error(`The day has no section "${title}".`);
    sections.delete(title);
    return part.replace(/```console\n[^]*?\n```/, () => `\`\`\`console\n${said}\n\`\`\``);
  });
  const [left] = sections.keys();
  if (left !== undefined) throw new Error(`The document has no section "${left}" with a console block.`);
  return parts.join('');
}

/** A text without what differs from day to day: times of now, ids, ports, durations, and how wide that makes columns. */
export function steady(text: string): string {
  return text
    .replaceAll(/2\d{3}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z/g, (at) =>
      at.startsWith('2026-01-0') ? at : '<time>',
    )
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>')
    .replaceAll(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '<id>')
    .replaceAll(/\b\d+ migrations?\b/g, '<n> migrations')
    .replaceAll(/\b(\d+(d|h|m|s|ms)\b ?)+/g, '<duration>')
    .replaceAll(/ {2,}/g, '  ');
}
