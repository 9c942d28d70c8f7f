import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a receiver does with a request: answers with a status, breaks the connection, or what a function does. */
export type Reaction = number | 'reset' | ((response: ServerResponse) => void);

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A webhook's other end: a real HTTP server that keeps what it got. */
export class Receiver implements AsyncDisposable {
  readonly requests: Received[] = [];
  /** Reactions to the next requests, in order; after those everything is answered 200. */
  readonly next: Reaction[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        const { url: path = '', headers } = request;
        receiver.requests.push({ path, headers, body });
        const reaction = receiver.next.shift() ?? 200;
        if (reaction === 'reset') request.socket.resetAndDestroy();
        else if (typeof reaction === 'number') response.writeHead(reaction).end('told-body-9c2f');
        else reaction(response);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return receiver;
  }

  /** A URL of it, with a secret in its path as Slack's have. */
  url(path = '/services/planted-webhook-secret-4e1d'): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${path}`;
  }

  /** The bodies that it got, as JSON. */
  bodies(): unknown[] {
    return this.requests.map(({ body }): unknown => JSON.parse(body));
  }

  async [Symbol.asyncDispose]() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
