import { UdmError } from './errors.ts';
import type { UdmErrorDetails } from './errors.ts';
import type { Answer } from './http.ts';
import { tryJson } from './json.ts';
import type { Redactor } from './redact.ts';
import { messageIn } from './shapes.ts';

/** Whether an answer means that the thing asked for is not there. A gateway's HTML page does not mean that. */
export function isMissing(answer: Answer): boolean {
  return answer.status === 404 && !/\bhtml\b/i.test(answer.headers['content-type'] ?? '');
}

/** A wrong API key is answered by the gateway in front of every endpoint, always with these words. */
export function isWrongApiKey(answer: Answer): boolean {
  return answer.status === 403 && messageIn(tryJson(answer.body)) === 'Forbidden';
}

export function wrongApiKey(endpoint: string): UdmError {
  return new UdmError('ERR_UDM_API_KEY', endpoint, 'the API key was not accepted.', {
    status: 403,
    hint: "Check the tenant's API key (sent as x-api-key) and that it belongs to this base URL.",
  });
}

/** The error for a status that the operation does not know how to use. */
export function refusal(endpoint: string, answer: Answer, redactor: Redactor): UdmError {
  if (isWrongApiKey(answer)) return wrongApiKey(endpoint);
  const { status } = answer;
  const excerpt = redactor.excerpt(answer.body);
  const details: UdmErrorDetails = { status, ...(excerpt === undefined ? {} : { excerpt }) };
  const said = messageIn(tryJson(answer.body));
  const reason = said === undefined ? excerpt : redactor.excerpt(said);
  const tail = reason === undefined ? '.' : `: ${reason}`;
  switch (status) {
    case 401:
      return new UdmError('ERR_UDM_UNAUTHORIZED', endpoint, `the token was not accepted${tail}`, {
        ...details,
        hint: 'Check that the user or client may use UDM in this tenant, and that a fixed token has not expired.',
      });
    case 403:
      return new UdmError('ERR_UDM_FORBIDDEN', endpoint, `not allowed${tail}`, {
        ...details,
        hint: 'The user or client lacks a role: ask the administrator of the tenant for the UDM role of this data source.',
      });
    case 404:
      return new UdmError('ERR_UDM_NOT_FOUND', endpoint, `not found${tail}`, {
        ...details,
        hint: 'If other calls fail like this too, check the base URL and the UDM path.',
      });
    default:
      if (status >= 400 && status !== 501)
        return new UdmError('ERR_UDM_BAD_REQUEST', endpoint, `refused with ${status}${tail}`, {
          ...details,
          hint: 'Correct what the upstream names; the same request will be refused again.',
        });
      return new UdmError(
        'ERR_UDM_ANSWER',
        endpoint,
        `answered with the unexpected status ${status}${tail}`,
        {
          ...details,
          hint: 'Check that the base URL and the UDM path point at the UDM API.',
        },
      );
  }
}
