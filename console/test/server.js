// The server under test: one that runs already (WIRELET_URL), or the program WIRELET_BIN, started here.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

/** A hang guard (ms), not a measure: slow machines are welcome. */
export const GUARD = 60_000;
/** How Chromium is started. */
export const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function answers(url) {
  const until = Date.now() + GUARD;
  for (;;) {
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch (error) {
      if (Date.now() > until) throw new Error(`no answer from ${url}: ${error.cause ?? error}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export class Server {
  #program;
  #child = null;

  static async fromEnvironment(env) {
    const server = new Server();
    if (env.WIRELET_URL) {
      server.url = new URL('/', env.WIRELET_URL).href;
    } else if (env.WIRELET_BIN) {
      server.#program = env.WIRELET_BIN;
      server.addr = `127.0.0.1:${await freePort()}`;
      server.url = `http://${server.addr}/`;
      await server.start();
    } else {
      throw new Error('set WIRELET_URL (a running server) or WIRELET_BIN (the program to start)');
    }
    await answers(server.url);
    return server;
  }

  /** Only a program that was started here can be stopped and started again. */
  get owned() {
    return this.#program !== undefined;
  }

  async start() {
    const child = spawn(this.#program, ['serve', '--addr', this.addr], { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#child = child;
    // Whatever ends this process, the program does not stay behind.
    process.once('exit', () => child.kill());
    const failed = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        if (this.#child === child) reject(new Error(`the server ended by itself: ${signal ?? code}`));
      });
    });
    failed.catch(() => {});
    await Promise.race([failed, answers(this.url)]);
  }

  async stop() {
    const child = this.#child;
    if (!child) return;
    this.#child = null;
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const guard = setTimeout(() => child.kill('SIGKILL'), GUARD);
    await exit;
    clearTimeout(guard);
  }
}
