// The scripted upstream of the SDK's own tests, spoken to as each vendor's API, through the provider.
import { createOssai } from "@ossai/ai-sdk-provider";
import { upstream } from "../../tests/support.mjs";

/** Each API with the names of its scripted bodies. */
export const APIS = [
  { api: "openai_chat", model: "openai/gpt-4o-mini", whole: "openai_chat", stream: "openai_chat_stream", error: "openai_error" },
  { api: "openai_responses", model: "openai/gpt-4o-mini", whole: "openai_responses", stream: "openai_responses_stream", error: "openai_error" },
  { api: "anthropic_messages", model: "anthropic/claude-sonnet-4-5", whole: "anthropic", stream: "anthropic_stream", error: "anthropic_error" },
];
export const [CHAT, RESPONSES, ANTHROPIC] = APIS;

/** An upstream that says this, as `api` does, and a provider that asks it; the client ends with the test. */
export async function scripted(t, { api, model }, responses, settings) {
  const script = await upstream(responses);
  const provider = model.split("/")[0];
  const ossai = createOssai({
    environment: false,
    providers: { [provider]: { baseUrl: `${script.url}/v1`, apiKey: "sk-canary", ...(provider === "openai" && { api }) } },
    retry: { baseMs: 1, throttleBaseMs: 1 },
    ...settings,
  });
  t.after(() => ossai[Symbol.asyncDispose]());
  return { script, ossai, model: ossai(model), bodies: async () => (await script.requests()).map(({ body }) => body) };
}

export const collect = async (iterable) => {
  const all = [];
  for await (const one of iterable) all.push(one);
  return all;
};
