/**
 * Finds and loads the addon: the one built beside the sources, else the platform package that npm chose by `os`, `cpu` and
 * `libc`. Loading it starts no thread and opens nothing.
 */

import { createRequire } from "node:module";

/** Why the core refused: an error's fields as JSON. */
export interface Failure {
  error: string;
}

/** The queue of this event loop. */
export interface Home {
  /** What has come, as a JSON list of events. */
  drain(): string;
}

/** One client of the core's. */
export interface Session {
  /** A number is a call under way, text is the answer. */
  begin(op: string, request: string, options: string): number | string | Failure;
  cancel(call: number): boolean;
  grant(call: number, events: number): void;
  /** What the session asks the program. */
  drain(): string;
  completeHostCall(call: number, result: string): boolean | Failure;
  close(): void;
  readonly callsUnderWay: number;
}

interface Native {
  Home: new (wake: () => void) => Home;
  open(
    home: Home,
    config: string,
    environment: boolean,
    credentials: { provider: string; identity?: string }[],
    wake?: () => void,
  ): Session | Failure;
  version(): string;
  configureThreads(threads: number): boolean;
  operations(): string[];
  errorKinds(): string[];
  fieldNames(of: string): string[];
}

/** The package's own version; the addon's must be the same. */
export const VERSION = "0.1.0";

function platforms(): string[] {
  const { platform, arch } = process;
  if (platform === "linux") return [`linux-${arch}-gnu`, `linux-${arch}-musl`];
  return [platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`];
}

function load(): Native {
  const require = createRequire(__filename);
  const failures: string[] = [];
  for (const platform of platforms()) {
    for (const path of [`../native/ossai.${platform}.node`, `@ossai/sdk-${platform}`]) {
      try {
        const native = require(path) as Native;
        const version = native.version();
        if (version === VERSION) return native;
        failures.push(`${path} is version ${version}, expected ${VERSION}`);
      } catch (error) {
        failures.push(`${path}: ${(error as Error).message.split("\n", 1)[0]}`);
      }
    }
  }
  throw new Error(
    `@ossai/sdk has no addon for ${process.platform} ${process.arch}; install it without --omit=optional:\n  ${failures.join("\n  ")}`,
  );
}

export const native: Native = load();
