// Let the model call functions. Set OPENAI_API_KEY to ask a real model; without it what the model would be told is shown.
import { createClient, mcpTool } from "@ossai/sdk";
import { z } from "zod";

class Sky {
  @mcpTool({
    description: "The weather of a city.",
    capabilities: ["read"],
    input: z.object({ city: z.string().describe("The city's name.") }),
    output: z.object({ city: z.string(), sky: z.string() }),
  })
  weather({ city }: { city: string }): { city: string; sky: string } {
    console.log(`weather runs for ${city}`);
    return { city, sky: "rain" };
  }
}

const client = createClient();
client.tools.register(new Sky());
for (const tool of client.tools.list()) console.log(JSON.stringify(tool.definition(), null, 2));
if (process.env["OPENAI_API_KEY"] !== undefined) {
  const answer = await client.complete(
    {
      model: "openai/gpt-4o-mini",
      messages: [{ role: "user", content: "Do I need an umbrella in Oslo?" }],
      tools: ["weather"],
    },
    // Asked before each handler.
    { approve: ({ tool }) => tool.capabilities.includes("read") },
  );
  console.log(answer.text);
  answer.tool_run?.turns.forEach(({ cost }, n) => console.log(`turn ${n + 1}: ${cost.total} nUSD`));
  console.log(`in all: ${answer.cost.total} nUSD`);
}
await client.close();
