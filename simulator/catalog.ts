/** What can be exported: the answers of /v10/data/*. */
export const SOURCES = [
  {
    name: 'UCSX',
    description: 'Contact history',
    types: [
      { name: 'Interactions', subTypes: ['email', 'chat', 'sms', 'voice', 'workitem', 'social'] },
      { name: 'Contacts', subTypes: ['contact'] },
    ],
  },
  {
    name: 'iWD',
    description: 'Work items',
    types: [{ name: 'Interactions', subTypes: ['workitem'] }],
  },
] as const;

export const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  Interactions: ['Id', 'ContactId', 'MediaTypeId', 'TypeId', 'StartDate', 'EndDate', 'Subject', 'OwnerId'],
  Contacts: ['Id', 'FirstName', 'LastName', 'EmailAddress', 'PhoneNumber', 'CreatedDate'],
};

/** Types of a source. Case and a final "s" do not matter, as people write both. */
export function findType(
  source: string,
  type: string,
): { name: string; subTypes: readonly string[] } | undefined {
  const plain = (word: string) => word.toLowerCase().replace(/s$/, '');
  return findSource(source)?.types.find((t) => plain(t.name) === plain(type));
}

export function findSource(source: string): (typeof SOURCES)[number] | undefined {
  return SOURCES.find((s) => s.name.toLowerCase() === source.toLowerCase());
}
