// A web server that streams answers to browsers as server-sent events. A reader who leaves ends the call upstream, and a slow one holds
// it back.
//
//   node 09_web_server.mjs --listen 8080
//   curl -N 'http://127.0.0.1:8080/?q=What+bounds+a+cache%3F'
//
// Without --listen it asks itself once and ends.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { createClient, OssaiError } from "@ossai/sdk";

const client = createClient();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const question = new URL(request.url ?? "/", "http://localhost").searchParams.get("q") ?? "";
  const left = new AbortController();
  response.on("close", () => left.abort());
  const send = async (kind: string, data: unknown): Promise<void> => {
    if (!response.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`)) await once(response, "drain", { signal: left.signal });
  };
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  try {
    const stream = client.stream(
      {
        model: process.env["OSSAI_MODEL"] ?? "local/extract",
        messages: [{ role: "user", content: `Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\n${question}` }],
      },
      { signal: left.signal, tags: { route: "/" } },
    );
    for await (const text of stream.text()) await send("text", text);
    await send("done", { output_tokens: stream.completion?.usage.output_tokens });
  } catch (error) {
    if (left.signal.aborted) return; // nobody is there to hear it
    await send("error", error instanceof OssaiError ? error.code : "internal");
  }
  response.end();
}

const { listen } = parseArgs({ options: { listen: { type: "string" } } }).values;
const server = createServer((request, response) => void answer(request, response));
server.listen(Number(listen ?? 0), "127.0.0.1");
await once(server, "listening");
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
console.log("listening", address);

if (listen === undefined) {
  console.log(await (await fetch(`${address}/?q=${encodeURIComponent("What bounds a cache?")}`)).text());
} else {
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
}
// First no more requests, then no more calls.
server.close();
server.closeIdleConnections();
await client.close({ patience: 10_000 });
