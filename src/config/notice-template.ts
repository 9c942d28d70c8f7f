/** What the line of a message may speak of. */
export const noticePlaceholders = [
  'kind',
  'text',
  'definition',
  'tenant',
  'run',
  'count',
  'file',
  'window',
  'reason',
] as const;
export type NoticePlaceholder = (typeof noticePlaceholders)[number];

const placeholder = /\{([^{}]*)\}/g;

function isPlaceholder(name: string): name is NoticePlaceholder {
  return noticePlaceholders.some((known) => known === name);
}

/** What is wrong with the text of a template, as a phrase that follows its path; undefined if nothing is. */
export function noticeTemplateProblem(template: string): string | undefined {
  const unknown = [...template.matchAll(placeholder)].find(([, name = '']) => !isPlaceholder(name));
  if (unknown)
    return `has ${unknown[0]}, which is no placeholder; known are ${noticePlaceholders.map((name) => `{${name}}`).join(', ')}`;
  return template.length > 500 ? 'must be at most 500 characters' : undefined;
}

/** The template with its placeholders filled in; the values are taken as they are. */
export function fillTemplate(template: string, values: Readonly<Record<NoticePlaceholder, string>>): string {
  return template.replace(placeholder, (whole, name: string) => (isPlaceholder(name) ? values[name] : whole));
}
