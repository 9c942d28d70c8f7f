import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { exitCodes } from './exit-codes.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

interface Flag {
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
}

interface Word {
  /** What stands before: '' or 'cipher'. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly Flag[];
}

/** `udm-sync completion <shell>`: a script for the shell to source, made from the commands there are. */
export function completionCommand(shell: string, program: Command): number {
  const known = shells.find((name) => name === shell);
  if (!known) throw new UsageError(`<shell> is "${shell}"; it must be one of: ${shells.join(', ')}.`);
  process.stdout.write(completionScript(known, program));
  return exitCodes.done;
}

/** The script for a shell; pure. */
export function completionScript(shell: Shell, program: Command): string {
  return { bash, zsh, fish }[shell](wordsOf(program, ''));
}

/** A command and those below it. */
function wordsOf(command: Command, path: string): Word[] {
  const below = command.commands;
  const own: Word = {
    path,
    commands: below.map((child) => ({ name: child.name(), description: child.description() })),
    flags: [...command.options, ...(command.parent ? rootOf(command).options : [])]
      .filter((option) => path === '' || option.long !== '--version')
      .map((option): Flag => ({
        names: [option.long, option.short].filter((name) => name !== undefined),
        description: option.description,
        takesValue: option.required || option.optional,
      }))
      .concat({ names: ['--help', '-h'], description: 'display help for command', takesValue: false }),
  };
  return [own, ...below.flatMap((child) => wordsOf(child, `${path} ${child.name()}`.trim()))];
}

function rootOf(command: Command): Command {
  return command.parent ? rootOf(command.parent) : command;
}

const offered = (word: Word) => [
  ...word.commands.map(({ name }) => name),
  ...word.flags.flatMap(({ names }) => names.slice(0, 1)),
];
const valued = (words: readonly Word[]) => [
  ...new Set(
    words.flatMap(({ flags }) => flags.filter((flag) => flag.takesValue).flatMap((flag) => flag.names)),
  ),
];

/** The command typed so far goes into `path`; what follows a flag with a value is a file. */
function bash(words: readonly Word[]): string {
  const paths = words.filter((word) => word.path !== '').map((word) => `"${word.path}"`);
  return `# udm-sync completion for bash. Load it with: source <(udm-sync completion bash)
_udm_sync() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" path="" word next i skip=0
  case "$before" in
    ${valued(words).join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if ((skip)); then skip=0; continue; fi
    case "$word" in
      ${valued(words).join('|')}) skip=1; continue ;;
      -*) continue ;;
    esac
    next="\${path:+$path }$word"
    case "$next" in
      ${paths.join('|')}) path="$next" ;;
    esac
  done
  case "$path" in
${words.map((word) => `    "${word.path}") word="${offered(word).join(' ')}" ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$word" -- "$current"))
  if ((\${#COMPREPLY[@]} == 0)); then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _udm_sync udm-sync
`;
}

/** Text in single quotes, in the way every shell here takes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function zsh(words: readonly Word[]): string {
  const paths = words.filter((word) => word.path !== '').map((word) => quoted(word.path));
  const colon = (text: string) => text.replaceAll(':', '\\:');
  const list = (word: Word) =>
    [
      ...word.commands.map(({ name, description }) => `${name}:${colon(description)}`),
      ...word.flags.map(({ names: [name = ''], description }) => `${name}:${colon(description)}`),
    ]
      .map((text) => `        ${quoted(text)}`)
      .join('\n');
  return `#compdef udm-sync
# udm-sync completion for zsh. Load it with: source <(udm-sync completion zsh), after compinit.
_udm_sync() {
  local at="" next word skip=0
  local -a offered
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if ((skip)); then skip=0; continue; fi
    case "$word" in
      ${valued(words).join('|')}) skip=1; continue ;;
      -*) continue ;;
    esac
    next="\${at:+$at }$word"
    case "$next" in
      ${paths.join('|')}) at="$next" ;;
    esac
  done
  if ((skip)); then _files; return; fi
  case "$at" in
${words.map((word) => `    ${quoted(word.path)})\n      offered=(\n${list(word)}\n      ) ;;`).join('\n')}
  esac
  _describe 'udm-sync' offered || _files
}
compdef _udm_sync udm-sync
`;
}

function fish(words: readonly Word[]): string {
  const top = words[0]?.commands.map(({ name }) => name).join(' ') ?? '';
  const lines = words.flatMap((word) => {
    const inner = word.path.split(' ');
    const below = word.commands.map(({ name }) => name).join(' ');
    const seen = word.path === '' ? [] : inner.map((name) => `__fish_seen_subcommand_from ${name}`);
    const nothingYet =
      word.path === ''
        ? `not __fish_seen_subcommand_from ${top}`
        : `not __fish_seen_subcommand_from ${below}`;
    const condition = (parts: readonly string[]) =>
      parts.length > 0 ? ` -n ${quoted(parts.join('; and '))}` : '';
    return [
      ...word.commands.map(
        ({ name, description }) =>
          `complete -c udm-sync -f${condition([...seen, nothingYet])} -a ${name} -d ${quoted(description)}`,
      ),
      ...word.flags.map(({ names, description, takesValue }) => {
        const spelled = names.map((name) =>
          name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
        );
        return `complete -c udm-sync${condition(seen)} ${spelled.join(' ')}${takesValue ? ' -r' : ''} -d ${quoted(description)}`;
      }),
    ];
  });
  return `# udm-sync completion for fish. Keep it as ~/.config/fish/completions/udm-sync.fish\n${lines.join('\n')}\n`;
}
