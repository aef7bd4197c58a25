/** Errors of ossai's as the AI SDK's. None is retryable there: the core has used up its tries, and two layers would multiply. */

import {
  AISDKError,
  APICallError,
  InvalidArgumentError,
  LoadAPIKeyError,
  NoSuchModelError,
  UnsupportedFunctionalityError,
} from "@ai-sdk/provider";
import { OssaiError } from "@ossai/sdk";

/** What a failed call was. */
export interface Context {
  modelId: string;
  modelType: "languageModel" | "embeddingModel";
  /** Where it went, worked out only when it failed. */
  url: () => string;
  /** What was asked, without prompts: errors end in logs. */
  settings: unknown;
}

/** The error to throw for what a call threw; a signal's reason and whatever is not ossai's stay as they are. */
export function translated(error: unknown, context: Context): unknown {
  if (!(error instanceof OssaiError)) return error;
  const { message, field } = error;
  // Refused here: no upstream said it.
  if (error.httpStatus === undefined && error.grpcCode === undefined && error.attempts.every(({ status }) => status === undefined)) {
    switch (error.code) {
      case "invalid_request":
        return caused(new InvalidArgumentError({ argument: field ?? "request", message }), error);
      case "not_found":
        return caused(new NoSuchModelError({ modelId: context.modelId, modelType: context.modelType, message }), error);
      case "authentication":
        return caused(new LoadAPIKeyError({ message }), error);
      case "unsupported":
        return caused(new UnsupportedFunctionalityError({ functionality: field ?? message, message }), error);
    }
  }
  return new APICallError({
    message,
    url: context.url(),
    requestBodyValues: context.settings,
    ...(error.httpStatus !== undefined && { statusCode: error.httpStatus }),
    isRetryable: false,
    data: error.fields,
    cause: error,
  });
}

/** Some of the AI SDK's errors take no cause of their own. */
function caused<T extends AISDKError>(error: T, cause: unknown): T {
  return Object.defineProperty(error, "cause", { value: cause, configurable: true, writable: true });
}
