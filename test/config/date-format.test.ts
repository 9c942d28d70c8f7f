import { Settings } from 'luxon';
import { expect, onTestFinished, test } from 'vitest';
import { dateFormatProblem, formatUpstreamDate, keepsInstant } from '../../src/config/date-format.ts';

const date = new Date('2026-03-04T17:06:07.089Z');

test.each([
  ['iso', '2026-03-04T17:06:07Z'],
  ['iso-millis', '2026-03-04T17:06:07.089Z'],
  ['epoch-ms', '1772643967089'],
  ["yyyy-MM-dd'T'HH:mm:ssZZ", '2026-03-04T17:06:07+00:00'],
  ['d MMMM yyyy', '4 March 2026'],
])('%s', (format, expected) => expect(formatUpstreamDate(date, format)).toBe(expected));

test('whether the instant can be read back', () => {
  const minute = new Date('2026-03-04T17:06:00Z');
  const exact = ['iso', 'iso-millis', 'epoch-ms', 'x', 'X', 'yyyy-MM-dd HH:mm', 'd MMMM yyyy h:mm a'];
  expect(exact.filter((format) => !keepsInstant(minute, format))).toEqual([]);
  const lossy = ['yyyy-MM-dd', 'yyyy-MM-dd hh:mm', 'HH:mm'];
  expect(lossy.filter((format) => keepsInstant(minute, format))).toEqual([]);
});

test.each(['', 'yyyy-MM-ddTHH', "yyyy'", "'text'", 'YYYY', '---'])('%j is no format', (format) =>
  expect(dateFormatProblem(format)).toBeDefined(),
);

test('the locale of the machine does not matter', () => {
  const usual = Settings.defaultLocale;
  onTestFinished(() => void (Settings.defaultLocale = usual));
  Settings.defaultLocale = 'de';
  expect(formatUpstreamDate(date, 'MMM EEE')).toBe('Mar Wed');
});
