/** Every error the client raises. Written by tools/errors.mjs from the core's error table: change that, not this. */

import type { Attempt, BudgetRefusal, Completion, Trace } from "./types.js";

/** The kinds of errors, the same in every language. */
export type ErrorCode =
  | "invalid_request"
  | "context_length_exceeded"
  | "invalid_state"
  | "authentication"
  | "permission_denied"
  | "not_found"
  | "conflict"
  | "request_too_large"
  | "response_too_large"
  | "content_filtered"
  | "rate_limited"
  | "quota_exhausted"
  | "budget_exceeded"
  | "price_unknown"
  | "budget_unavailable"
  | "overloaded"
  | "circuit_open"
  | "shutting_down"
  | "upstream_error"
  | "connect_failed"
  | "transport_interrupted"
  | "stream_interrupted"
  | "timeout"
  | "cancelled"
  | "decode_error"
  | "unexpected_content_type"
  | "redirect_blocked"
  | "unsupported"
  | "version_incompatible"
  | "callback_error"
  | "internal";

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
  /** A finer word than the kind (`dns`, `tls`, `lagged` …). */
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
  /** Whose time ran out: `attempt` or `total`. */
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

/** `invalid_request` */
export class InvalidRequestError extends OssaiError {
  static override readonly code = "invalid_request";
  static {
    this.prototype.name = "InvalidRequestError";
  }
}

/** `context_length_exceeded` */
export class ContextLengthExceededError extends OssaiError {
  static override readonly code = "context_length_exceeded";
  static {
    this.prototype.name = "ContextLengthExceededError";
  }
}

/** `invalid_state` */
export class InvalidStateError extends OssaiError {
  static override readonly code = "invalid_state";
  static {
    this.prototype.name = "InvalidStateError";
  }
}

/** `authentication` */
export class AuthenticationError extends OssaiError {
  static override readonly code = "authentication";
  static {
    this.prototype.name = "AuthenticationError";
  }
}

/** `permission_denied` */
export class PermissionDeniedError extends OssaiError {
  static override readonly code = "permission_denied";
  static {
    this.prototype.name = "PermissionDeniedError";
  }
}

/** `not_found` */
export class NotFoundError extends OssaiError {
  static override readonly code = "not_found";
  static {
    this.prototype.name = "NotFoundError";
  }
}

/** `conflict` */
export class ConflictError extends OssaiError {
  static override readonly code = "conflict";
  static {
    this.prototype.name = "ConflictError";
  }
}

/** `request_too_large` */
export class RequestTooLargeError extends OssaiError {
  static override readonly code = "request_too_large";
  static {
    this.prototype.name = "RequestTooLargeError";
  }
}

/** `response_too_large` */
export class ResponseTooLargeError extends OssaiError {
  static override readonly code = "response_too_large";
  static {
    this.prototype.name = "ResponseTooLargeError";
  }
}

/** `content_filtered` */
export class ContentFilteredError extends OssaiError {
  static override readonly code = "content_filtered";
  static {
    this.prototype.name = "ContentFilteredError";
  }
}

/** `rate_limited` */
export class RateLimitedError extends OssaiError {
  static override readonly code = "rate_limited";
  static {
    this.prototype.name = "RateLimitedError";
  }
}

/** `quota_exhausted` */
export class QuotaExhaustedError extends OssaiError {
  static override readonly code = "quota_exhausted";
  static {
    this.prototype.name = "QuotaExhaustedError";
  }
}

/** `budget_exceeded` */
export class BudgetExceededError extends OssaiError {
  static override readonly code = "budget_exceeded";
  static {
    this.prototype.name = "BudgetExceededError";
  }
}

/** `price_unknown` */
export class PriceUnknownError extends OssaiError {
  static override readonly code = "price_unknown";
  static {
    this.prototype.name = "PriceUnknownError";
  }
}

/** `budget_unavailable` */
export class BudgetUnavailableError extends OssaiError {
  static override readonly code = "budget_unavailable";
  static {
    this.prototype.name = "BudgetUnavailableError";
  }
}

/** `overloaded` */
export class OverloadedError extends OssaiError {
  static override readonly code = "overloaded";
  static {
    this.prototype.name = "OverloadedError";
  }
}

/** `circuit_open` */
export class CircuitOpenError extends OssaiError {
  static override readonly code = "circuit_open";
  static {
    this.prototype.name = "CircuitOpenError";
  }
}

/** `shutting_down` */
export class ShuttingDownError extends OssaiError {
  static override readonly code = "shutting_down";
  static {
    this.prototype.name = "ShuttingDownError";
  }
}

/** `upstream_error` */
export class UpstreamError extends OssaiError {
  static override readonly code = "upstream_error";
  static {
    this.prototype.name = "UpstreamError";
  }
}

/** `connect_failed` */
export class ConnectFailedError extends OssaiError {
  static override readonly code = "connect_failed";
  static {
    this.prototype.name = "ConnectFailedError";
  }
}

/** `transport_interrupted` */
export class TransportInterruptedError extends OssaiError {
  static override readonly code = "transport_interrupted";
  static {
    this.prototype.name = "TransportInterruptedError";
  }
}

/** `stream_interrupted` */
export class StreamInterruptedError extends OssaiError {
  static override readonly code = "stream_interrupted";
  static {
    this.prototype.name = "StreamInterruptedError";
  }
}

/** `timeout` */
export class TimeoutError extends OssaiError {
  static override readonly code = "timeout";
  static {
    this.prototype.name = "TimeoutError";
  }
}

/** `cancelled` */
export class CancelledError extends OssaiError {
  static override readonly code = "cancelled";
  static {
    this.prototype.name = "CancelledError";
  }
}

/** `decode_error` */
export class DecodeError extends OssaiError {
  static override readonly code = "decode_error";
  static {
    this.prototype.name = "DecodeError";
  }
}

/** `unexpected_content_type` */
export class UnexpectedContentTypeError extends OssaiError {
  static override readonly code = "unexpected_content_type";
  static {
    this.prototype.name = "UnexpectedContentTypeError";
  }
}

/** `redirect_blocked` */
export class RedirectBlockedError extends OssaiError {
  static override readonly code = "redirect_blocked";
  static {
    this.prototype.name = "RedirectBlockedError";
  }
}

/** `unsupported` */
export class UnsupportedError extends OssaiError {
  static override readonly code = "unsupported";
  static {
    this.prototype.name = "UnsupportedError";
  }
}

/** `version_incompatible` */
export class VersionIncompatibleError extends OssaiError {
  static override readonly code = "version_incompatible";
  static {
    this.prototype.name = "VersionIncompatibleError";
  }
}

/** `callback_error` */
export class CallbackError extends OssaiError {
  static override readonly code = "callback_error";
  static {
    this.prototype.name = "CallbackError";
  }
}

/** `internal` */
export class InternalError extends OssaiError {
  static override readonly code = "internal";
  static {
    this.prototype.name = "InternalError";
  }
}

/** The class of each kind. */
export const KINDS: { readonly [Code in ErrorCode]: typeof OssaiError } = {
  invalid_request: InvalidRequestError,
  context_length_exceeded: ContextLengthExceededError,
  invalid_state: InvalidStateError,
  authentication: AuthenticationError,
  permission_denied: PermissionDeniedError,
  not_found: NotFoundError,
  conflict: ConflictError,
  request_too_large: RequestTooLargeError,
  response_too_large: ResponseTooLargeError,
  content_filtered: ContentFilteredError,
  rate_limited: RateLimitedError,
  quota_exhausted: QuotaExhaustedError,
  budget_exceeded: BudgetExceededError,
  price_unknown: PriceUnknownError,
  budget_unavailable: BudgetUnavailableError,
  overloaded: OverloadedError,
  circuit_open: CircuitOpenError,
  shutting_down: ShuttingDownError,
  upstream_error: UpstreamError,
  connect_failed: ConnectFailedError,
  transport_interrupted: TransportInterruptedError,
  stream_interrupted: StreamInterruptedError,
  timeout: TimeoutError,
  cancelled: CancelledError,
  decode_error: DecodeError,
  unexpected_content_type: UnexpectedContentTypeError,
  redirect_blocked: RedirectBlockedError,
  unsupported: UnsupportedError,
  version_incompatible: VersionIncompatibleError,
  callback_error: CallbackError,
  internal: InternalError,
};

/** The error with these fields; a kind of a newer core is the base class. */
export function fromFields(fields: ErrorFields): OssaiError {
  const known = Object.hasOwn(KINDS, fields.kind) ? KINDS[fields.kind as ErrorCode] : OssaiError;
  return new known(fields.message, fields);
}
