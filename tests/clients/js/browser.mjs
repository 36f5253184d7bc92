#!/usr/bin/env node
// Somebody with a browser: opens a sign-in page of the development issuer in Chromium, types an e-mail address and agrees.
//
//   browser.mjs URL EMAIL FOLDER
//
// Leaves screenshots in FOLDER and prints one line of JSON: the URL, title and text of the page that came last, and whatever the
// browser complained about. Clients find it as BROWSER or xdg-open. The executable is $CHROMIUM.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const [url, email, folder] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'sigbox-browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  viewport: { width: 900, height: 700 },
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // The callback pages are the clients' own: one may lack an icon.
    if (message.type() === 'error' && message.location().url.startsWith(new URL(url).origin)) {
      complaints.push(message.text());
    }
  });
  await page.goto(url);
  const address = page.getByLabel('E-mail address');
  await address.fill(email);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(folder, `ask-${colorScheme}.png`) });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.getByRole('button', { name: 'Sign in' }).click();
  // The form is gone, whoever answered: the issuer or a client that listens.
  await address.waitFor({ state: 'detached' });
  await page.waitForLoadState();
  await page.screenshot({ path: join(folder, 'done.png') });
  const text = await page.locator('body').innerText();
  console.log(JSON.stringify({ url: page.url(), title: await page.title(), text, complaints }));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
