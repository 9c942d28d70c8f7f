import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * The arrows between the parts, as ARCHITECTURE.md draws them: what each folder of src may import.
 * Everyone may import src/errors.ts, src/format.ts and src/log.ts; nothing in src may import the simulator, the demo or tests.
 */
/** @type {Record<string, string[]>} */
const arrows = {
  udm: [],
  sinks: [],
  config: [],
  store: [],
  queue: ['store'],
  transfer: ['udm', 'sinks'],
  jobs: ['udm', 'sinks', 'transfer', 'config', 'store', 'queue'],
  page: ['config', 'store', 'jobs'],
  report: ['config', 'store', 'jobs', 'page'],
  metrics: ['udm', 'sinks', 'transfer', 'config', 'store', 'queue', 'jobs'],
  // What it tells is in Postgres: history has every transition, whichever process made it.
  notify: ['config', 'store'],
  cli: [
    'udm',
    'sinks',
    'transfer',
    'config',
    'store',
    'queue',
    'jobs',
    'page',
    'report',
    'metrics',
    'notify',
  ],
};
const outside = ['simulator', 'demo', 'test', 'bench', 'scripts'];

/**
 * @param {string} part
 * @param {string[]} allowed
 */
function boundary(part, allowed) {
  const forbidden = Object.keys(arrows).filter((other) => other !== part && !allowed.includes(other));
  const group = [...forbidden.map((f) => `../${f}/**`), ...outside.map((o) => `**/${o}/**`)];
  return {
    files: [`src/${part}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group, message: `src/${part} may not import this: see the arrows in ARCHITECTURE.md.` },
          ],
        },
      ],
    },
  };
}

export default defineConfig(
  { ignores: ['dist/', 'node_modules/', 'migrations/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.js'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-console': 'error',
    },
  },
  ...Object.entries(arrows).map(([part, allowed]) => boundary(part, allowed)),
  {
    files: ['simulator/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['**/src/**'], message: 'The simulator shares no code with src.' }] },
      ],
    },
  },
  {
    files: ['src/cli/**', 'demo/**', 'simulator/**', 'scripts/**', 'bench/**', 'test/**'],
    rules: { 'no-console': 'off' },
  },
  // TypeScript knows what a browser has (src/page/static/tsconfig.json).
  { files: ['src/page/static/*.js'], rules: { 'no-undef': 'off' } },
  // Vitest's asymmetric matchers (expect.stringContaining) are any.
  { files: ['test/**'], rules: { '@typescript-eslint/no-unsafe-assignment': 'off' } },
);
