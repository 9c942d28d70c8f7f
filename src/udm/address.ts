import ipaddr from 'ipaddr.js';

/** Which addresses beyond public ones a download may go to. */
export interface AddressRules {
  /** 127.0.0.0/8 and ::1. */
  readonly loopback: boolean;
  /** RFC 1918, unique local and carrier-grade NAT addresses. */
  readonly private: boolean;
}

export type AddressKind = 'public' | 'loopback' | 'private' | 'never';

const nat64 = ipaddr.IPv6.parse('64:ff9b::');
const nat64Bits = 96;

/** Where clouds hand out credentials to whoever asks, outside of the link-local ranges. */
const metadata = new Set(
  [
    'fd00:ec2::254', // AWS, over IPv6
    'fd20:ce::254', // Google, over IPv6
    '168.63.129.16', // Azure
    '100.100.100.200', // Alibaba
  ].map((address) => ipaddr.parse(address).toNormalizedString()),
);

/**
 * What an IP address is to us. Link-local and other addresses of cloud metadata, multicast, IPv4-mapped, tunnel and
 * reserved addresses are `never`: no file of the upstream lives there.
 */
export function classifyAddress(address: string): AddressKind {
  if (!ipaddr.isValid(address)) return 'never';
  const parsed = ipaddr.parse(address);
  if (metadata.has(parsed.toNormalizedString())) return 'never';
  const range = parsed.range();
  switch (range) {
    case 'unicast':
      return 'public';
    case 'loopback':
      return 'loopback';
    case 'private':
    case 'uniqueLocal':
    case 'carrierGradeNat':
      return 'private';
    case 'rfc6052':
      // NAT64, as IPv6-only clusters reach IPv4: what counts is the address behind it.
      return parsed.match(nat64, nat64Bits)
        ? classifyAddress(parsed.toByteArray().slice(-4).join('.'))
        : 'never';
    default:
      return 'never';
  }
}

/** Whether a connection to this address is allowed. Plain http never leaves the networks that were allowed by name. */
export function isAddressAllowed(address: string, encrypted: boolean, rules: AddressRules): boolean {
  const kind = classifyAddress(address);
  if (kind === 'public') return encrypted;
  return (kind === 'loopback' && rules.loopback) || (kind === 'private' && rules.private);
}

/** Whether a URL's host names this machine: `localhost`, `*.localhost`, 127.0.0.0/8 or ::1. */
export function isLoopbackHost(hostname: string): boolean {
  const host = stripBrackets(hostname).toLowerCase().replace(/\.$/, '');
  return host === 'localhost' || host.endsWith('.localhost') || classifyAddress(host) === 'loopback';
}

/** `[::1]` as a URL writes it, `::1` as everything else does. */
export function stripBrackets(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** Whether a host is on the list: exact names, or `*.suffix` for anything below the suffix. An absent list allows all. */
export function isHostListed(hostname: string, allowed: readonly string[] | undefined): boolean {
  if (allowed === undefined || allowed.length === 0) return true;
  const host = hostname.toLowerCase().replace(/\.$/, '');
  return allowed.some((entry) => {
    const pattern = entry.toLowerCase();
    return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern;
  });
}
