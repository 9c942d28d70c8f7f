/** How the title of a job is compared with what a definition adopts. Pure. */
export interface TitleMatch {
  readonly title: string;
  readonly match: 'exact' | 'contains' | 'regex';
}

/** Whether a title is one that is adopted. Case counts; blanks around do not. */
export function matchesTitle(wanted: TitleMatch, title: string): boolean {
  const text = title.trim();
  switch (wanted.match) {
    case 'exact':
      return text === wanted.title.trim();
    case 'contains':
      return text.includes(wanted.title.trim());
    case 'regex':
      return new RegExp(wanted.title, 'u').test(text);
  }
}

/** What is wrong with a pattern; undefined when nothing is. */
export function titlePatternProblem(pattern: string): string | undefined {
  try {
    new RegExp(pattern, 'u');
    return undefined;
  } catch {
    return 'must be a regular expression of JavaScript, as in ^Nightly .*$, since match is regex';
  }
}

/** Whether some title certainly matches both. False may also mean that it cannot be told. */
export function shareTitle(one: TitleMatch, other: TitleMatch): boolean {
  if (one.match === 'exact') return matchesTitle(other, one.title);
  if (other.match === 'exact') return matchesTitle(one, other.title);
  if (one.match === 'contains' && other.match === 'contains') {
    const [a, b] = [one.title.trim(), other.title.trim()];
    return a.includes(b) || b.includes(a);
  }
  return one.match === other.match && one.title === other.title;
}
