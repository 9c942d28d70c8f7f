/** What a status word of the upstream means to this program. */
export type StatusMeaning =
  'waiting' | 'running' | 'completed' | 'failed' | 'cancelled' | 'suspended' | 'unknown';

/** Spelling varies between versions ("In Progress", "IN_PROGRESS", "InProgress"): letters and digits only. */
function fold(word: string): string {
  return word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

const words: Readonly<Record<Exclude<StatusMeaning, 'unknown'>, readonly string[]>> = {
  waiting: ['waiting', 'wait', 'pending', 'queued', 'scheduled', 'created', 'new', 'submitted', 'accepted'],
  running: [
    'running',
    'inprogress',
    'progress',
    'started',
    'starting',
    'processing',
    'active',
    'executing',
    'exporting',
  ],
  completed: ['completed', 'complete', 'done', 'finished', 'success', 'successful', 'succeeded'],
  failed: ['failed', 'failure', 'fail', 'error', 'errored', 'aborted', 'timeout', 'timedout'],
  cancelled: ['cancelled', 'canceled', 'cancel', 'terminated'],
  suspended: ['suspended', 'suspend', 'paused', 'onhold'],
};

const meanings: ReadonlyMap<string, StatusMeaning> = new Map(
  Object.entries(words).flatMap(([meaning, spellings]) =>
    spellings.map((spelling): [string, StatusMeaning] => [
      spelling,
      isMeaning(meaning) ? meaning : 'unknown',
    ]),
  ),
);

function isMeaning(word: string): word is StatusMeaning {
  return Object.hasOwn(words, word) || word === 'unknown';
}

/**
 * What a status word means, whatever its case, spaces, underscores and dashes.
 *
 * A word in doubt is `unknown`, never terminal: taking a running job for a finished one loses data.
 *
 * @param overrides words of this deployment that the built-in list does not know, or means otherwise
 */
export function classifyStatus(
  word: string | undefined,
  overrides: Readonly<Record<string, StatusMeaning>> = {},
): StatusMeaning {
  if (word === undefined) return 'unknown';
  const folded = fold(word);
  for (const [spelling, meaning] of Object.entries(overrides)) if (fold(spelling) === folded) return meaning;
  return meanings.get(folded) ?? 'unknown';
}
