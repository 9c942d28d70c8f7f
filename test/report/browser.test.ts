import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { report } from '../../src/report/report.ts';
import { chromiumInstalled, openChromium } from '../page/chromium.ts';
import { makePlace } from '../page/place.ts';
import { storyDefinitions, tellStory } from '../page/story.ts';

// Set to a folder, it receives pictures of the report.
const pictures = process.env['UDM_SYNC_TEST_PICTURES'];
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const axeResult = z.object({
  violations: z.array(z.object({ id: z.string(), nodes: z.array(z.object({ html: z.string() })) })),
});

describe.runIf(chromiumInstalled())('in Chromium', () => {
  test('the page of a day stands alone, and axe finds no fault in light, in dark and on a telephone', async () => {
    await using place = await makePlace({ definitions: storyDefinitions() });
    await tellStory(place);
    const dayMs = 86_400_000;
    const today = Math.floor(Date.now() / dayMs) * dayMs;
    let text = '';
    await report(
      place.pipeline.db,
      place.config,
      {
        from: new Date(today),
        to: new Date(today + dayMs),
        format: 'html',
        definition: undefined,
      },
      async (pieces) => {
        for await (const piece of pieces) text += piece;
      },
    );
    const folder = await mkdtemp(join(tmpdir(), 'udm-sync-report-'));
    await using browser = await openChromium({ viewport: { width: 1280, height: 900 }, bypassCSP: true });
    try {
      const file = join(folder, 'report.html');
      await writeFile(file, text);
      const page = await browser.context.newPage();
      for (const [colorScheme, width] of [
        ['light', 1280],
        ['dark', 1280],
        ['light', 400],
      ] as const) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 900 });
        await page.goto(pathToFileURL(file).href);
        if (pictures !== undefined) {
          await mkdir(pictures, { recursive: true });
          await page.screenshot({ path: join(pictures, `report-${colorScheme}-${width}.png`) });
        }
        await page.evaluate(axe);
        const { violations } = axeResult.parse(await page.evaluate('axe.run()'));
        expect(violations, `${colorScheme} ${width}`).toEqual([]);
        // Nothing sticks out of the page.
        expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      }
      expect(new Set(browser.requests)).toEqual(new Set([pathToFileURL(file).href]));
    } finally {
      await rm(folder, { recursive: true });
    }
  }, 150_000);
});
