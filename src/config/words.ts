/** A word of the upstream's lists, made comparable: upper case and a plural s are taken differently by its versions. */
export function plainWord(word: string): string {
  return word.toLowerCase().replace(/s$/, '');
}
