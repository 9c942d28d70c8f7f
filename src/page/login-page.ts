import { html } from './html.ts';
import type { Html } from './html.ts';
import { layout } from './layout.ts';
import type { Frame } from './layout.ts';

/** The form that asks for the token. */
export function loginPage(frame: Frame, problem?: string): Html {
  return layout(frame, {
    title: 'Sign in',
    content: html`<section class="card notice">
      <h1>Sign in</h1>
      <p>Whoever knows the page’s token (<code>page.token</code> in the config) may retry and cancel runs.</p>
      ${problem !== undefined && html`<p class="bad" role="alert">${problem}</p>`}
      <form class="login" action="/login" method="post">
        <label for="token">Token</label>
        <input id="token" name="token" type="password" autocomplete="current-password" required autofocus />
        <button type="submit" class="primary">Sign in</button>
      </form>
    </section>`,
  });
}
