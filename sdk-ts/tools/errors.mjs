// Writes src/errors.ts from the core's error table. Run after the table has changed; a test compares the two.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { errorKinds } = createRequire(import.meta.url)("../native/ossai.linux-x64-gnu.node");

const HEAD = `/** Every error the client raises. Written by tools/errors.mjs from the core's error table: change that, not this. */

import type { Attempt, BudgetRefusal, Completion, Trace } from "./types.js";

/** The kinds of errors, the same in every language. */
export type ErrorCode =
KINDS;

/** An error's fields as they cross every language's border. */
export interface ErrorFields {
  kind: ErrorCode | (string & {});
  message: string;
  retriable: boolean;
  field?: string;
  detail?: string;
  retry_after_ms?: number;
  http_status?: number;
  grpc_code?: number;
  provider_code?: string;
  provider?: string;
  model?: string;
  request_id?: string;
  upstream_request_id?: string;
  phase?: string;
  scope?: string;
  gave_up?: string;
  budgets?: BudgetRefusal[];
  billed?: "no" | "maybe" | "yes";
  attempts?: Attempt[];
  partial?: Completion;
  trace?: Trace;
}

/** The properties whose name is not the field's. */
const PROPERTIES: Readonly<Record<string, string>> = {
  kind: "code",
  retry_after_ms: "retryAfter",
  http_status: "httpStatus",
  grpc_code: "grpcCode",
  provider_code: "providerCode",
  request_id: "requestId",
  upstream_request_id: "upstreamRequestId",
  gave_up: "gaveUp",
};

/** Two copies of the package in one program know each other's errors by it. */
const BRAND = Symbol.for("@ossai/sdk.error");

/** A failed call. Everything it says is in its properties; its text holds neither prompts nor keys. */
export class OssaiError extends Error {
  /** The kind of this class; none for the base class. */
  static readonly code: string = "";
  /** The kind's stable name, the same in every language. */
  declare readonly code: ErrorCode | (string & {});
  /** Whether a new call later may work; the client has used up its own tries by then. */
  declare readonly retriable: boolean;
  /** Which field of the input is wrong, as a path in the wire's names. */
  declare readonly field: string | undefined;
  /** A finer word than the kind (\`dns\`, \`tls\`, \`lagged\` …). */
  declare readonly detail: string | undefined;
  /** When to try again, in milliseconds from now. */
  declare readonly retryAfter: number | undefined;
  /** The upstream's HTTP status. */
  declare readonly httpStatus: number | undefined;
  /** The upstream's gRPC code. */
  declare readonly grpcCode: number | undefined;
  /** The vendor's own code for it. */
  declare readonly providerCode: string | undefined;
  /** The provider asked. */
  declare readonly provider: string | undefined;
  /** The model asked for. */
  declare readonly model: string | undefined;
  /** Our id of the call. */
  declare readonly requestId: string | undefined;
  /** The vendor's request id, for its support. */
  declare readonly upstreamRequestId: string | undefined;
  /** Where time ran out. */
  declare readonly phase: string | undefined;
  /** Whose time ran out: \`attempt\` or \`total\`. */
  declare readonly scope: string | undefined;
  /** Why no further try was made. */
  declare readonly gaveUp: string | undefined;
  /** The budgets that refused the call, each with its limit, what is spent, held and left. */
  declare readonly budgets: readonly BudgetRefusal[];
  /** Whether the vendor bills it. */
  declare readonly billed: "no" | "maybe" | "yes";
  /** Every try, in order. */
  declare readonly attempts: readonly Attempt[];
  /** What arrived before a stream broke. */
  declare readonly partial: Completion | undefined;
  /** Why the call came out as it did, where that was asked for. */
  declare readonly trace: Trace | undefined;
  /** All fields as they cross every language's border. */
  declare readonly fields: Readonly<ErrorFields>;

  constructor(message: string, fields?: ErrorFields) {
    super(message);
    Object.defineProperty(this, BRAND, { value: true });
    const given = fields ?? { kind: (new.target.code || "internal") as ErrorCode, message, retriable: false };
    Object.defineProperty(this, "fields", { value: given }); // not enumerable: the others say it once, where errors are printed
    const own: Record<string, unknown> = { billed: "no", budgets: [], attempts: [] };
    for (const [name, value] of Object.entries(given)) {
      if (name !== "message") own[PROPERTIES[name] ?? name] = value;
    }
    Object.assign(this, own);
  }

  /** Holds for errors of another copy of the package too (npm may install two versions). */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!Object.hasOwn(this, "code")) return Function.prototype[Symbol.hasInstance].call(this, value);
    if (typeof value !== "object" || value === null || !(BRAND in value)) return false;
    return this.code === "" || (value as { code?: unknown }).code === this.code;
  }

  static {
    this.prototype.name = "OssaiError";
  }
}
`;

const TAIL = `
/** The class of each kind. */
export const KINDS: { readonly [Code in ErrorCode]: typeof OssaiError } = {
CLASSES};

/** The error with these fields; a kind of a newer core is the base class. */
export function fromFields(fields: ErrorFields): OssaiError {
  const known = Object.hasOwn(KINDS, fields.kind) ? KINDS[fields.kind as ErrorCode] : OssaiError;
  return new known(fields.message, fields);
}
`;

export function className(kind) {
  const name = kind.split("_").map((word) => word[0].toUpperCase() + word.slice(1)).join("");
  return name.endsWith("Error") ? name : `${name}Error`;
}

export function render() {
  const kinds = errorKinds();
  const union = kinds.map((kind) => `  | "${kind}"`).join("\n");
  const classes = kinds.map(
    (kind) => `
/** \`${kind}\` */
export class ${className(kind)} extends OssaiError {
  static override readonly code = "${kind}";
  static {
    this.prototype.name = "${className(kind)}";
  }
}
`,
  );
  const table = kinds.map((kind) => `  ${kind}: ${className(kind)},\n`).join("");
  return HEAD.replace("KINDS", union) + classes.join("") + TAIL.replace("CLASSES", table);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("../src/errors.ts", import.meta.url), render());
}
